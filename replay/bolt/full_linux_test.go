package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/safe-go/safe/replay"
)

// aloneVariable is set in the process of a test that needs one of its own.
const aloneVariable = "SAFE_BOLT_ALONE"

// alone runs the test in a process of its own, and reports whether this is it.
func alone(t *testing.T) bool {
	if os.Getenv(aloneVariable) != "" {
		return true
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), executable, "-test.run=^"+t.Name()+"$", "-test.timeout=60s", "-test.v")
	child.Env = append(os.Environ(), aloneVariable+"=1")
	output, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	return false
}

// fillUp appends until the disk refuses, which it must for the given reason.
func fillUp(t *testing.T, s *Store, k model, reason error) {
	t.Helper()
	for i := range 10_000 {
		id := fmt.Sprint("id ", i%7)
		batch := k.next(id, replay.Entry{Data: make([]byte, 3000), Key: fmt.Sprint("key ", i)})
		err := s.Append(t.Context(), id, batch)
		if err == nil {
			k.add(id, batch)
			continue
		}
		if !errors.Is(err, replay.ErrUnavailable) || !errors.Is(err, reason) {
			t.Fatalf("Append to a full disk: %v; want ErrUnavailable and %v", err, reason)
		}
		return
	}
	t.Fatal("the disk never was full")
}

// surviveFull fills a disk again and again, and has it emptied.
func surviveFull(t *testing.T, path string, reason error, fill, empty func(round int)) {
	k := model{}
	s := open(t, path, nil)
	for round := range 4 {
		fill(round)
		fillUp(t, s, k, reason)
		mustHold(t, s, k)
		if round == 3 { // a full disk does not keep it from being opened either
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			s = open(t, path, nil)
			mustHold(t, s, k)
		}
		empty(round)
		for i := range 100 {
			id := fmt.Sprint("id ", i%7)
			mustAppend(t, s, k, id, k.next(id, replay.Entry{Data: make([]byte, 3000)}))
		}
		mustHold(t, s, k)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	mustHold(t, open(t, path, nil), k)
}

func TestFileSizeLimit_Recovers(t *testing.T) {
	if !alone(t) {
		return
	}
	path := newPath(t)
	surviveFull(t, path, syscall.EFBIG,
		func(round int) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			limitFiles(t, uint64(info.Size())+uint64(round)*100_000)
		},
		func(int) { limitFiles(t, 1<<30) })
}

// limitFiles limits the size of the files that this process writes.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
}

func TestCreateFailure_LeavesNothing(t *testing.T) {
	if !alone(t) {
		return
	}
	path := newPath(t)
	for _, size := range []int{0, 5000, 3 * pageBytes, 5 * pageBytes} {
		limitFiles(t, uint64(size))
		if _, err := Open(path, nil); !errors.Is(err, replay.ErrUnavailable) || !errors.Is(err, syscall.EFBIG) {
			t.Errorf("Open with %d bytes: %v; want ErrUnavailable and EFBIG", size, err)
		}
		if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 0 {
			t.Errorf("the folder has %v, %v; want nothing", files, err)
		}
	}
	limitFiles(t, 1<<30)
	mustHold(t, open(t, path, nil), model{})
}

func TestDiskFull_Recovers(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a small disk cannot be mounted here, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(folder, "filler")
	surviveFull(t, filepath.Join(folder, "histories.db"), syscall.ENOSPC,
		func(round int) { occupy(t, filler, folder, int64(round)*150_000) },
		func(int) {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		})
}

// occupy writes a file that leaves so many bytes on the disk.
func occupy(t *testing.T, filler, folder string, leave int64) {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(folder, &disk); err != nil {
		t.Fatal(err)
	}
	size := int64(disk.Bavail)*int64(disk.Bsize) - leave
	if err := os.WriteFile(filler, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGuarded_MemoryFault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	mapped, err := syscall.Mmap(int(file.Fd()), 0, 1<<16, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(mapped)
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() error{
		"a byte":     func() error { t.Log(mapped[5000]); return nil },
		"a copy":     func() error { t.Log(len(bytes.Clone(mapped))); return nil },
		"a checksum": func() error { t.Log(headsBucket.checksum(nil, mapped)); return nil },
	} {
		if err := guarded(read); !errors.Is(err, ErrDamaged) {
			t.Errorf("reading %s of it: %v; want ErrDamaged", name, err)
		}
	}
}

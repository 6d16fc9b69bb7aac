package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/safe-go/safe/replay"
)

func TestDurability_ReadersWait(t *testing.T) {
	for _, committed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var g durability
			g.set(5)
			g.begin(6)
			if err := g.wait(t.Context(), 5); err != nil {
				t.Errorf("a reader who sees what is on the disk: %v", err)
			}
			waits := make(chan error, 1)
			go func() { waits <- g.wait(t.Context(), 6) }()
			ctx, cancel := context.WithCancel(t.Context())
			gives := make(chan error, 1)
			go func() { gives <- g.wait(ctx, 6) }()
			synctest.Wait()
			select {
			case err := <-waits:
				t.Errorf("a reader did not wait for the commit: %v", err)
			default:
			}
			cancel()
			if err := <-gives; !errors.Is(err, context.Canceled) {
				t.Errorf("a reader whose context ended: %v", err)
			}
			g.end(committed)
			if err := <-waits; committed != (err == nil) || !committed && !errors.Is(err, errInDoubt) {
				t.Errorf("committed %t, the reader: %v", committed, err)
			}
			if err := g.wait(t.Context(), 7); !errors.Is(err, ErrDamaged) {
				t.Errorf("a reader who sees what was never written: %v; want ErrDamaged", err)
			}
		})
	}
}

func TestWriteFailure_Recovers(t *testing.T) {
	tests := map[syscall.Errno]string{
		syscall.ENOSPC: "free some space",
		syscall.EDQUOT: "quota",
		syscall.EFBIG:  "limit on the size",
		syscall.EIO:    "the disk fails",
		syscall.EROFS:  "for writing",
		syscall.ENXIO:  "log",
	}
	for errno, advice := range tests {
		t.Run(errno.Error(), func(t *testing.T) {
			s, k := open(t, newPath(t), nil), model{}
			mustAppend(t, s, k, "id", k.next("id", entryOf("before")))
			faults := failData(s)
			opened := s.database
			for range 3 {
				faults.set(&os.PathError{Op: "write", Path: s.path, Err: errno})
				for _, id := range []string{"id", "new"} {
					err := s.Append(t.Context(), id, k.next(id, replay.Entry{Data: []byte("lost"), Key: "lost"}))
					if !errors.Is(err, replay.ErrUnavailable) || !errors.Is(err, errno) || !strings.Contains(err.Error(), advice) {
						t.Fatalf("Append to %q: %v; want ErrUnavailable, %v and advice: %s", id, err, errno, advice)
					}
				}
				mustHold(t, s, k) // also while the disk fails
				if found, err := s.Find(t.Context(), "id", []string{"lost"}); len(found) != 0 || err != nil {
					t.Errorf("Find of what was not committed: %v, %v", found, err)
				}
				faults.set(nil)
				mustAppend(t, s, k, "id", k.next("id", entryOf("after")))
				mustHold(t, s, k)
			}
			if s.database != opened {
				t.Error("the file was opened again, which blocks all readers")
			}
		})
	}
}

// A commit whose last sync fails is in the file, but perhaps not on the disk.
func TestSyncFailure_HidesCommit(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	mustAppend(t, s, k, "id", k.next("id", entryOf("before")))
	mustAppend(t, s, k, "other", k.next("other", entryOf("before")))
	faults := failMeta(s)
	broken := &faultyDisk{disk: s.database.disk}
	s.database.disk = broken

	faults.set(syscall.EIO)
	broken.set(syscall.EIO)
	batch := k.next("id", entryOf("perhaps"))
	if err := s.Append(t.Context(), "id", batch); !errors.Is(err, replay.ErrUnavailable) {
		t.Fatalf("Append: %v; want ErrUnavailable", err)
	}
	for range 3 {
		for _, id := range []string{"id", "other"} {
			if head, err := s.Load(t.Context(), id, replay.Cursor{}); !errors.Is(err, replay.ErrUnavailable) || !errors.Is(err, syscall.EIO) {
				t.Errorf("Load of %q: %s, %v; want ErrUnavailable", id, head.Cursor, err)
			}
			if err := s.Append(t.Context(), id, k.next(id, entryOf("lost"))); !errors.Is(err, replay.ErrUnavailable) {
				t.Errorf("Append to %q: %v; want ErrUnavailable", id, err)
			}
		}
	}
	// Once the disk works, what was perhaps on it is.
	broken.set(nil)
	k.add("id", batch)
	mustHold(t, s, k)
	faults.set(nil)
	mustAppend(t, s, k, "id", k.next("id", entryOf("after")))
	mustHold(t, s, k)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	mustHold(t, open(t, path, nil), k)
}

func TestSyncFailure_RewritesMeta(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("before")))
	faults := failMeta(s)
	recorded := &recordingDisk{disk: s.database.disk}
	s.database.disk = recorded
	for i := range 4 { // the meta pages are written in turn
		faults.set(syscall.EIO)
		batch := k.next("id", entryOf(fmt.Sprint("batch ", i)))
		if err := s.Append(t.Context(), "id", batch); !errors.Is(err, replay.ErrUnavailable) {
			t.Fatalf("Append: %v; want ErrUnavailable", err)
		}
		k.add("id", batch)
		faults.set(nil)
		recorded.calls = nil
		mustHold(t, s, k)
		newest, _, err := readMeta(s.database.file, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{fmt.Sprint("write at ", newest.at*newest.pageBytes), "sync"}
		if !reflect.DeepEqual(recorded.calls, want) {
			t.Errorf("after a sync that failed: %q; want %q", recorded.calls, want)
		}
	}
}

// recordingDisk notes what is done to a disk.
type recordingDisk struct {
	disk
	calls []string
}

func (d *recordingDisk) WriteAt(b []byte, off int64) (int, error) {
	d.calls = append(d.calls, fmt.Sprint("write at ", off))
	return d.disk.WriteAt(b, off)
}

func (d *recordingDisk) Sync() error {
	d.calls = append(d.calls, "sync")
	return d.disk.Sync()
}

func TestPanic_InCommit(t *testing.T) {
	for name, at := range map[string]int{"at its first page": 0, "on the way": 2} {
		t.Run(name, func(t *testing.T) {
			s, k := open(t, newPath(t), nil), model{}
			epoch := uint64(100)
			k.fill(t, s, seeded(1), &epoch, 30)
			opened := s.database
			writes, armed := 0, true
			hook(s, func(write writeAt, b []byte, off int64) (int, error) {
				if writes++; armed && writes > at {
					armed = false
					panic("page 7 already freed")
				}
				return write(b, off)
			})
			id, batch := k.randomBatch(seeded(2), &epoch)
			// The batch is tried again, without what else may have met damage.
			if err := s.Append(t.Context(), id, batch); err != nil {
				t.Fatalf("Append: %v", err)
			}
			k.add(id, batch)
			mustHold(t, s, k)
			if s.database == opened {
				t.Error("bbolt is used on after a panic")
			}
			k.fill(t, s, seeded(3), &epoch, 30)
			mustHold(t, s, k)
		})
	}
}

// A batch that was tried again after it had taken effect would meet itself.
func TestGroup_RetriedIfUncommitted(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	before, _ := s.durable.newest()
	damage := damaged("as a test says")
	if !s.failedWithoutTrace(before, damage) {
		t.Error("a batch that left no trace is not tried again")
	}
	if s.failedWithoutTrace(before, replay.ErrUnavailable) {
		t.Error("a batch is tried again without damage")
	}
	mustAppend(t, s, k, "id", k.next("id", entryOf("data")))
	if s.failedWithoutTrace(before, damage) {
		t.Error("a batch that may have taken effect is tried again")
	}
}

func TestMapFailure_Reopens(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("before")))
	unmap := func() {
		field := reflect.ValueOf(s.database.bolt).Elem().FieldByName("data")
		*(*unsafe.Pointer)(unsafe.Pointer(field.UnsafeAddr())) = nil
	}
	unmap()
	mustHold(t, s, k)
	unmap()
	mustAppend(t, s, k, "id", k.next("id", entryOf("after")))
	mustHold(t, s, k)
}

func TestFileTruncatedInUse(t *testing.T) {
	for _, size := range []int{0, 100, pageBytes, 2 * pageBytes, 5 * pageBytes} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path, k := newPath(t), model{}
			s := open(t, path, nil)
			epoch := uint64(100)
			k.fill(t, s, seeded(1), &epoch, 60)
			if err := os.Truncate(path, int64(size)); err != nil {
				t.Fatal(err)
			}
			damagedEverywhere(t, s, k)
			if _, err := Open(path, nil); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrLocked) {
				t.Errorf("Open for the second time: %v; want ErrLocked or ErrDamaged", err)
			}
		})
	}
}

func damagedEverywhere(t *testing.T, s *Store, k model) {
	t.Helper()
	for id := range k {
		if _, err := s.Load(t.Context(), id, replay.Cursor{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("Load: %v; want ErrDamaged", err)
		}
		if _, err := s.Read(t.Context(), id, replay.Cursor{Epoch: k[id].head().Epoch}, 10); !errors.Is(err, ErrDamaged) {
			t.Errorf("Read: %v; want ErrDamaged", err)
		}
		if err := s.Append(t.Context(), id, k.next(id, entryOf("lost"))); !errors.Is(err, ErrDamaged) {
			t.Errorf("Append: %v; want ErrDamaged", err)
		}
	}
	for _, err := range s.IDs(t.Context()) {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("IDs: %v; want ErrDamaged", err)
		}
	}
}

func TestFileOverwrittenInUse(t *testing.T) {
	for _, worn := range []bool{false, true} {
		path, k := newPath(t), model{}
		s := open(t, path, nil)
		epoch := uint64(100)
		k.fill(t, s, seeded(1), &epoch, 20)
		backup, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		k.fill(t, s, seeded(2), &epoch, 20)
		if err := os.WriteFile(path, backup, 0o600); err != nil {
			t.Fatal(err)
		}
		s.database.worn = worn // as after a panic
		damagedEverywhere(t, s, k)
		if now, err := os.ReadFile(path); err != nil || string(now) != string(backup) {
			t.Errorf("the file was written to (%v)", err)
		}
	}
}

// Without its meta pages, bbolt panics with its locks held.
func TestMetaPagesLostInUse(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	epoch := uint64(100)
	k.fill(t, s, seeded(1), &epoch, 20)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	metas := make([]byte, s.database.metasBytes)
	if _, err := file.ReadAt(metas, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(make([]byte, len(metas)), 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.Load(t.Context(), "id 1", replay.Cursor{}); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
			t.Errorf("Load: %v; want ErrDamaged or ErrForeign", err)
		}
		if err := s.Append(t.Context(), "id 1", k.next("id 1", entryOf("lost"))); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
			t.Errorf("Append: %v; want ErrDamaged or ErrForeign", err)
		}
	}
	if _, err := file.WriteAt(metas, 0); err != nil {
		t.Fatal(err)
	}
	mustHold(t, s, k) // it was opened again
	mustAppend(t, s, k, "id 1", k.next("id 1", entryOf("after")))
	mustHold(t, s, k)
}

// While another file is at the path, or none, what is appended would be lost.
func TestFileReplaced(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"removed":       func(path string) error { return nil },
		"by an old one": func(path string) error { return os.WriteFile(path, []byte("old"), 0o600) },
		"by a new store": func(path string) error {
			other, err := Open(path, nil)
			if err != nil {
				return err
			}
			return other.Close()
		},
	} {
		for _, worn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, worn %t", name, worn), func(t *testing.T) {
				path, k := newPath(t), model{}
				s := open(t, path, nil)
				mustAppend(t, s, k, "id", k.next("id", entryOf("before")))
				away := path + ".away"
				if err := errors.Join(os.Rename(path, away), replace(path)); err != nil {
					t.Fatal(err)
				}
				s.database.worn = worn // as after a panic
				for range 2 {
					err := s.Append(t.Context(), "id", k.next("id", entryOf("lost")))
					if !errors.Is(err, ErrFileReplaced) || !errors.Is(err, replay.ErrUnavailable) || !strings.Contains(err.Error(), adviceReplaced) {
						t.Errorf("Append: %v; want ErrFileReplaced, ErrUnavailable, and what to do", err)
					}
					mustHold(t, s, k) // what is open can still be read
				}
				if err := os.Rename(away, path); err != nil {
					t.Fatal(err)
				}
				mustHold(t, s, k)
				mustAppend(t, s, k, "id", k.next("id", entryOf("after")))
				mustHold(t, s, k)
			})
		}
	}
}

// A file that is replaced while a group is committed gets no acknowledgement.
func TestFileReplaced_InCommit(t *testing.T) {
	path := newPath(t)
	s := open(t, path, nil)
	hook(s, func(write writeAt, b []byte, off int64) (int, error) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		return write(b, off)
	})
	if err := s.Append(t.Context(), "id", model{}.next("id", entryOf("lost"))); !errors.Is(err, ErrFileReplaced) {
		t.Errorf("Append: %v; want ErrFileReplaced", err)
	}
}

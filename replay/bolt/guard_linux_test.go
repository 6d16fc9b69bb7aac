package bolt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestMemoryThatCannotBeReadIsAnError(t *testing.T) {
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

package bolt

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/safe-go/safe/replay"
)

func TestBackup_Complete(t *testing.T) {
	s := open(t, newPath(t), nil)
	k, epoch := model{}, uint64(100)
	k.fill(t, s, seeded(1), &epoch, 80)
	var backup bytes.Buffer
	n, err := s.WriteTo(&backup)
	if err != nil || n != int64(backup.Len()) {
		t.Fatalf("WriteTo: %d, %v; wrote %d", n, err, backup.Len())
	}
	path := newPath(t)
	if err := os.WriteFile(path, backup.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Error(err)
	}
	restored := open(t, path, nil)
	mustHold(t, restored, k)
	k.fill(t, restored, seeded(2), &epoch, 20)
	mustHold(t, restored, k)
}

// A backup of a store that is written to has each history as it was at one
// moment.
func TestBackup_Consistent(t *testing.T) {
	s := open(t, newPath(t), nil)
	stop := make(chan struct{})
	var work sync.WaitGroup
	for _, id := range []string{"a", "b"} {
		work.Go(func() {
			for k := (model{}); ; {
				select {
				case <-stop:
					return
				default:
					mustAppend(t, s, k, id, k.next(id, entryOf("data")))
				}
			}
		})
	}
	path := newPath(t)
	for range 10 {
		least := make(map[string]uint64)
		for _, id := range []string{"a", "b"} {
			if head, err := s.Load(t.Context(), id, replay.Cursor{}); err == nil {
				least[id] = head.Cursor.Revision
			}
		}
		var backup bytes.Buffer
		if _, err := s.WriteTo(&backup); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, backup.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Check(path); err != nil {
			t.Error(err)
		}
		restored := open(t, path, nil)
		for id, revision := range least {
			head, err := restored.Load(t.Context(), id, replay.Cursor{})
			if err != nil || head.Cursor.Revision < revision {
				t.Errorf("%q is at %s in the backup, %v; want %d at least", id, head.Cursor, err, revision)
			}
		}
		if err := restored.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	work.Wait()
}

func TestBackup_EndsWithClose(t *testing.T) {
	s := open(t, newPath(t), nil)
	mustAppend(t, s, model{}, "id", model{}.next("id", entryOf("data")))
	from, to := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := s.WriteTo(to)
		ended <- err
	}()
	if _, err := from.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	<-s.closing
	if _, err := io.CopyN(io.Discard, from, int64(2*pageBytes-1)); err != nil { // the write that was under way
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, replay.ErrClosed) {
		t.Errorf("WriteTo: %v; want ErrClosed", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := s.WriteTo(io.Discard); !errors.Is(err, replay.ErrClosed) {
		t.Errorf("WriteTo of a closed store: %v; want ErrClosed", err)
	}
}

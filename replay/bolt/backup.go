package bolt

import (
	"context"
	"io"

	"github.com/safe-go/safe/replay"
)

// WriteTo writes a copy of the file as it is on the disk at one moment, which
// is a file that Open opens: a backup that needs no pause. Everything that was
// acknowledged before the call is in it.
//
// While it runs, the file grows by all that is written to it, because nothing
// that the copy still needs is overwritten, and Close waits for it. So have it
// write to a file rather than to somebody who takes his time. It fails with
// replay.ErrClosed when the store is closed meanwhile.
func (s *Store) WriteTo(w io.Writer) (n int64, err error) {
	err = s.healing(context.Background(), func() error {
		tx, err := s.snapshot(context.Background())
		if err != nil {
			return err
		}
		defer s.database.rollback(tx)
		to := &interruptible{to: w, stop: s.closing}
		n, err = tx.WriteTo(to)
		if to.err != nil {
			return to.err // bbolt hands some errors on as text only
		}
		return err
	})
	return n, err
}

// interruptible is a writer that fails once stop is closed.
type interruptible struct {
	to   io.Writer
	stop <-chan struct{}
	err  error
}

func (w *interruptible) Write(p []byte) (n int, err error) {
	select {
	case <-w.stop:
		err = replay.ErrClosed
	default:
		n, err = w.to.Write(p)
	}
	w.err = err
	return n, err
}

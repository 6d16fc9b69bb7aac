package bolt

import (
	"context"
	"io"
	"slices"

	"github.com/safe-go/safe/replay"
)

// WriteTo writes a copy of the file as it is on the disk at one moment, which
// is a file that Open opens: a backup without a pause. Everything that was
// acknowledged before the call is in it.
//
// While it runs, the file grows by all that is written to it, because nothing
// that the copy still needs is overwritten, and Close waits for it. So let it
// write to a file rather than to a slow connection. It fails with
// replay.ErrClosed when the store is closed meanwhile.
func (s *Store) WriteTo(w io.Writer) (n int64, err error) {
	err = s.withFile(context.Background(), func() error {
		tx, err := s.beginRead(context.Background())
		if err != nil {
			return err
		}
		defer s.database.rollback(tx)
		to := &backupWriter{to: w, stop: s.closing, metasBytes: int(s.database.metasBytes)}
		n, err = tx.WriteTo(to)
		if to.err != nil {
			return to.err // bbolt returns some errors as text only
		}
		return err
	})
	return n, err
}

// backupWriter writes what bbolt copies, and fails once stop is closed. bbolt
// writes the newer meta page first, whatever its transaction; here each takes
// the place where Open expects it.
type backupWriter struct {
	to         io.Writer
	stop       <-chan struct{}
	metasBytes int
	metas      page
	err        error
}

func (w *backupWriter) Write(p []byte) (n int, err error) {
	select {
	case <-w.stop:
		w.err = replay.ErrClosed
		return 0, w.err
	default:
	}
	if len(w.metas) == w.metasBytes {
		n, w.err = w.to.Write(p)
		return n, w.err
	}
	w.metas = append(w.metas, p...)
	if len(w.metas) < w.metasBytes {
		return len(p), nil
	}
	first, second := w.metas[:w.metasBytes/2], w.metas[w.metasBytes/2:]
	if m, err := parseMeta(first, 0); err == nil && m.transaction%2 == 1 {
		native.PutUint64(first, 1)
		native.PutUint64(second, 0)
		w.metas = slices.Concat(second, first)
	}
	if _, w.err = w.to.Write(w.metas); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

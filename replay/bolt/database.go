package bolt

import (
	"errors"
	"fmt"
	"os"
	"sync"

	bbolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// errUnsettled: the file has to be settled, or opened anew, before it can be
// used on.
var errUnsettled = errors.New("a write to the file has failed")

// database is the file, opened through bbolt.
type database struct {
	bolt *bbolt.DB
	file *os.File
	// disk is the file, too.
	disk disk
	// metasBytes is how long the file is at least.
	metasBytes int64

	// mu makes transactions begin and end one after another, so that no other
	// one is inside bbolt when it panics there.
	mu sync.Mutex
	// stuck says that bbolt has panicked while it held locks of its own: nothing
	// of it may be called any more.
	stuck bool
	// worn says that bbolt has panicked while it wrote: the file has to be opened
	// anew before it is written again.
	worn bool
}

// begin begins a transaction.
func (d *database) begin(writable bool) (tx *bbolt.Tx, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stuck || writable && d.worn {
		return nil, errUnsettled
	}
	// bbolt would find out that the file was cut with its locks held.
	info, err := d.file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < d.metasBytes {
		return nil, damaged("it was cut to %d bytes while it was in use", info.Size())
	}
	err = guarded(func() error {
		tx, err = d.bolt.Begin(writable)
		return err
	})
	switch {
	case panicked(err):
		d.stuck = true
		return nil, err
	case errors.Is(err, bolterrors.ErrInvalidMapping):
		return nil, fmt.Errorf("%w: %w", errUnsettled, err)
	case err != nil:
		return nil, err
	}
	if tx.Size() > info.Size() {
		err := damaged("it was cut to %d of %d bytes while it was in use", info.Size(), tx.Size())
		return nil, errors.Join(err, d.rollbackLocked(tx))
	}
	return tx, nil
}

// rollback ends a transaction without a commit.
func (d *database) rollback(tx *bbolt.Tx) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rollbackLocked(tx)
}

func (d *database) rollbackLocked(tx *bbolt.Tx) error {
	if d.stuck {
		return nil
	}
	err := guarded(tx.Rollback)
	switch {
	case panicked(err):
		d.stuck = true
	case errors.Is(err, bolterrors.ErrTxClosed):
		return nil
	}
	return err
}

// abandon ends a transaction in which bbolt has panicked while it wrote.
func (d *database) abandon(tx *bbolt.Tx) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.worn = true
	_ = d.rollbackLocked(tx) // the panic was the news
}

// unusable says that the file has to be opened anew.
func (d *database) unusable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stuck || d.worn
}

// settle has the newest transaction on the disk.
func (d *database) settle() error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	m, err := readMeta(d.disk, info.Size())
	if err != nil {
		return err
	}
	return settle(d.disk, &m)
}

// close closes the file, once no transaction is open.
func (d *database) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stuck {
		// bbolt would wait for its own locks. This much unlocks the file; what is
		// mapped of it stays until the process ends.
		return errors.Join(unlock(d.file), d.file.Close())
	}
	return guarded(d.bolt.Close)
}

package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/safe-go/safe/replay"
)

// errInDoubt: a write to the file has failed, and restore has to find out what is
// in the file.
var errInDoubt = errors.New("a write to the file has failed")

// changedByOther is the error where the newest transaction of the file is none of
// this store.
func changedByOther() error {
	return damaged("it was changed by another program while it was in use")
}

// database is the file, opened through bbolt.
type database struct {
	bolt     *bbolt.DB
	file     *os.File
	verifier *verifier
	// disk is the file, too. Tests make it fail.
	disk disk
	// metasBytes is how long the file is at least.
	metasBytes int64
	// format is the version of the format in which the file was opened.
	format uint64

	// mu makes transactions begin and end one after another, so that no other
	// one is inside bbolt when it panics there.
	mu sync.Mutex
	// stuck says that bbolt has panicked while it held locks of its own: nothing
	// of it may be called any more.
	stuck bool
	// worn says that bbolt has panicked while it wrote: the file has to be opened
	// again before it is written to.
	worn bool
}

// begin begins a transaction.
func (d *database) begin(writable bool) (tx *bbolt.Tx, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stuck || writable && d.worn {
		return nil, errInDoubt
	}
	// bbolt would find out that the file was cut while it holds its locks.
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
		return nil, fmt.Errorf("%w: %w", errInDoubt, err)
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
	_ = d.rollbackLocked(tx) // the panic was reported
}

// unusable says that the file has to be opened again.
func (d *database) unusable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stuck || d.worn
}

// rewriteMeta makes sure that the newest transaction is on the disk.
func (d *database) rewriteMeta() error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	m, _, err := readMeta(d.disk, info.Size())
	if err != nil {
		return err
	}
	return rewriteMeta(d.disk, &m)
}

// close closes the file, once no transaction is open.
func (d *database) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stuck {
		// bbolt would wait for its own locks. This unlocks the file; what is mapped
		// of it stays until the process ends.
		return errors.Join(unlock(d.file), d.file.Close())
	}
	return guarded(d.bolt.Close)
}

func panicked(err error) bool {
	_, found := errors.AsType[*panicError](err)
	return found
}

// durability makes readers wait for what is not on the disk yet. bbolt shows a
// transaction to readers as soon as it is written, which is before it is
// synced: a power cut could take back what they have seen.
type durability struct {
	mu sync.Mutex
	// durable is the id of the newest transaction that is on the disk.
	durable int
	// attempted is the id of the newest transaction whose commit has begun.
	attempted int
	// ended is closed when the commit that is under way ends; nil if none is.
	ended chan struct{}
}

// begin notes that the commit of a transaction begins.
func (d *durability) begin(id int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attempted, d.ended = id, make(chan struct{})
}

// end notes that the commit has ended.
func (d *durability) end(committed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if committed {
		d.durable = d.attempted
	}
	close(d.ended)
	d.ended = nil
}

// set notes that the transaction is on the disk, whatever its commit returned.
func (d *durability) set(id int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable, d.attempted = id, id
}

func (d *durability) newest() (durable, attempted int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable, d.attempted
}

// wait waits until a transaction that a reader sees is on the disk. It fails
// with errInDoubt where its commit failed.
func (d *durability) wait(ctx context.Context, id int) error {
	for {
		d.mu.Lock()
		durable, attempted, ended := d.durable, d.attempted, d.ended
		d.mu.Unlock()
		switch {
		case id <= durable:
			return nil
		case id > attempted:
			return changedByOther()
		case ended == nil:
			return fmt.Errorf("%w: transaction %d is there, %d is on the disk", errInDoubt, id, durable)
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// maxRestores bounds how often one call makes the file usable again.
const maxRestores = 3

// view calls do with what is in the file.
func (s *Store) view(ctx context.Context, do func(*reader) error) error {
	return s.withFile(ctx, func() error {
		tx, err := s.beginRead(ctx)
		if err != nil {
			return err
		}
		defer s.database.rollback(tx)
		return s.damage(guarded(func() error { return do(s.newReader(tx, s.now())) }))
	})
}

func (s *Store) newReader(tx *bbolt.Tx, now time.Time) *reader {
	return &reader{content: content{tx: tx, pages: s.database.verifier.of(tx)}, expired: s.limits.expiredAt(now), rolledBack: s.rolledBack}
}

// withFile calls do while the file is open, and makes the file usable again
// where do returns errInDoubt.
func (s *Store) withFile(ctx context.Context, do func() error) error {
	once := func() error {
		s.mu.RLock()
		defer s.mu.RUnlock()
		switch {
		case s.closed:
			return replay.ErrClosed
		case s.database == nil:
			return errInDoubt
		}
		return do()
	}
	for range maxRestores {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := once(); !errors.Is(err, errInDoubt) {
			return err
		}
		if err := s.restore(); err != nil {
			return err
		}
	}
	return unavailable(s.path, errInDoubt)
}

// beginRead begins a transaction that sees what is on the disk. It waits for a
// commit that is under way if it sees what that has written.
func (s *Store) beginRead(ctx context.Context) (*bbolt.Tx, error) {
	durable, _ := s.durable.newest()
	tx, err := s.database.begin(false)
	if err != nil {
		return nil, s.failed(err)
	}
	if tx.ID() < durable {
		err = changedByOther()
	} else {
		err = s.durable.wait(ctx, tx.ID())
	}
	if err != nil {
		return nil, errors.Join(s.damage(err), s.database.rollback(tx))
	}
	return tx, nil
}

// restore makes the file usable again after a write to it has failed, and finds
// out what is in it. It waits for the calls that use the file.
func (s *Store) restore() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return replay.ErrClosed
	}
	if s.database != nil && !s.database.unusable() {
		err := s.resolve()
		if !errors.Is(err, errInDoubt) {
			return err
		}
	}
	return s.reopen()
}

// resolve finds out whether the transaction whose commit failed is in the file,
// and then makes sure that it is on the disk.
func (s *Store) resolve() error {
	tx, err := s.database.begin(false)
	if err != nil {
		return s.failed(err)
	}
	visible := tx.ID()
	if err := s.database.rollback(tx); err != nil {
		return s.failed(err)
	}
	switch durable, attempted := s.durable.newest(); {
	case visible == durable:
		return nil
	case visible != attempted:
		return s.failed(changedByOther())
	}
	if err := s.database.rewriteMeta(); err != nil {
		return s.failed(err)
	}
	s.durable.set(visible)
	return nil
}

// reopen opens the file again.
func (s *Store) reopen() error {
	if err := s.inPlace(); err != nil {
		return err // what is open can still be read
	}
	if s.database != nil {
		if err := s.database.close(); err != nil {
			s.logger.Warn("bolt: closing the file failed", slog.String("file", s.path), slog.Any("error", err))
		}
		s.database = nil
	}
	file, err := openFile(s.path)
	if err != nil {
		return fmt.Errorf("%w: %w", replay.ErrUnavailable, err)
	}
	opened, transaction, _, err := openDatabase(s.path, file)
	if err != nil {
		return err
	}
	// Nothing was acknowledged in the transaction of a partly written meta page, as
	// long as the other one is not older than what was acknowledged.
	if durable, _ := s.durable.newest(); transaction < durable {
		err := damaged("it lost what was on the disk: it ends with transaction %d instead of %d", transaction, durable)
		return errors.Join(s.failed(err), opened.close())
	}
	s.database = opened
	s.durable.set(transaction)
	s.logger.Warn("bolt: the file was opened again after a failure", slog.String("file", s.path))
	return nil
}

// inPlace fails with ErrFileReplaced if the file is no longer at its path. Where
// the path cannot be looked up for another reason, nothing is known.
func (s *Store) inPlace() error {
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return unavailable(s.path, fmt.Errorf("%w: it was removed", ErrFileReplaced))
	case err == nil && !os.SameFile(info, s.info):
		return unavailable(s.path, fmt.Errorf("%w: another file has taken its place", ErrFileReplaced))
	}
	return nil
}

// failed returns the error of a call for what went wrong with the file.
func (s *Store) failed(err error) error {
	switch {
	case err == nil, errors.Is(err, errInDoubt):
		return err
	case errors.Is(err, ErrDamaged):
		return s.damage(err)
	}
	return unavailable(s.path, err)
}

// damageLogInterval is how often damage is logged at most.
const damageLogInterval = time.Minute

// damage adds to an ErrDamaged which file it is and what to do, and logs it. It
// returns other errors as they are.
func (s *Store) damage(err error) error {
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	err = withAdvice(s.path, err)
	s.damageLog.Lock()
	defer s.damageLog.Unlock()
	if now := s.now(); s.damageLogged.IsZero() || now.Sub(s.damageLogged) >= damageLogInterval {
		s.damageLogged = now
		s.logger.Error("bolt: damage was met", slog.Any("error", err))
	}
	return err
}

package bolt

import (
	"context"
	"errors"

	bbolt "go.etcd.io/bbolt"

	"github.com/safe-go/safe/replay"
)

// maxHealings bounds how often one call makes the file usable again.
const maxHealings = 3

// view calls do with what is in the file.
func (s *Store) view(ctx context.Context, do func(reading) error) error {
	return s.healing(ctx, func() error {
		tx, err := s.snapshot(ctx)
		if err != nil {
			return err
		}
		defer s.database.rollback(tx)
		return named(s.path, guarded(func() error { return do(s.reading(tx)) }))
	})
}

// healing calls do while the file is open, and makes the file usable if do
// finds that it is not.
func (s *Store) healing(ctx context.Context, do func() error) error {
	once := func() error {
		s.mu.RLock()
		defer s.mu.RUnlock()
		switch {
		case s.closed:
			return replay.ErrClosed
		case s.database == nil:
			return errUnsettled
		}
		return do()
	}
	for range maxHealings {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := once(); !errors.Is(err, errUnsettled) {
			return err
		}
		if err := s.heal(); err != nil {
			return err
		}
	}
	return unavailable(s.path, errUnsettled)
}

// snapshot begins a transaction that sees what is on the disk. It waits for a
// commit that is under way if it sees what that has written.
func (s *Store) snapshot(ctx context.Context) (*bbolt.Tx, error) {
	durable, _ := s.gate.newest()
	tx, err := s.database.begin(false)
	if err != nil {
		return nil, s.fault(err)
	}
	if tx.ID() < durable {
		err = errChanged
	} else {
		err = s.gate.wait(ctx, tx.ID())
	}
	if err != nil {
		return nil, errors.Join(named(s.path, err), s.database.rollback(tx))
	}
	return tx, nil
}

// errChanged: the file's newest transaction is none of this store.
var errChanged = damaged("it was changed by another program while it was in use")

func (s *Store) reading(tx *bbolt.Tx) reading {
	return reading{content: content{tx}, expired: s.limits.expiredAt(s.now())}
}

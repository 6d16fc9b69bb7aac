package bolt

import (
	"context"
	"errors"
	"log/slog"

	bbolt "go.etcd.io/bbolt"
)

// sweepPerGroup is how many entries and keys of removed histories a group
// deletes. It bounds what a removal costs everybody else.
const sweepPerGroup = 512

// work commits what waits, group by group, until nothing does. Then it deletes
// what is left of removed histories, giving way to batches that arrive.
func (s *Store) work() {
	idle := true
	for {
		group, end := s.queue.take(idle)
		if end {
			return
		}
		idle = !s.run(group)
	}
}

// run commits a group and answers those who wait for it. It reports whether
// something is left of removed histories.
func (s *Store) run(group []*appending) (more bool) {
	before, _ := s.gate.newest()
	more, err := s.attempt(group)
	if !s.sweepless && s.metDamage(before, err) {
		s.logger.Warn("bolt: what is left of removed histories is not deleted any more, because the file is damaged",
			slog.String("file", s.path), slog.Any("error", err))
		s.sweepless = true
		more, err = s.attempt(group)
	}
	if len(group) > 1 && s.metDamage(before, err) {
		// One of them has met the damage. The others shall not pay for it.
		for _, a := range group {
			s.run([]*appending{a})
		}
		return false
	}
	for _, a := range group {
		if err != nil {
			a.err = err
		}
		close(a.done)
	}
	return more && err == nil
}

// metDamage says that an attempt has met damage and, as the file ends with the
// transaction before, has left no trace.
func (s *Store) metDamage(before int, err error) bool {
	if !errors.Is(err, ErrDamaged) || s.heal() != nil {
		return false
	}
	now, _ := s.gate.newest()
	return now == before
}

// attempt writes a group. Where it fails, nothing of the group was committed,
// or it is not known whether it was.
func (s *Store) attempt(group []*appending) (more bool, err error) {
	err = s.healing(context.Background(), func() error {
		s.writing.Lock()
		defer s.writing.Unlock()
		tx, err := s.begin()
		if err != nil {
			return err
		}
		more, err = s.commitGroup(tx, group)
		return err
	})
	return more, err
}

// begin begins a transaction that writes, on what is on the disk.
func (s *Store) begin() (*bbolt.Tx, error) {
	tx, err := s.database.begin(true)
	if err != nil {
		return nil, s.fault(err)
	}
	if durable, _ := s.gate.newest(); tx.ID() != durable+1 {
		return nil, errors.Join(errUnsettled, s.database.rollback(tx))
	}
	return tx, nil
}

// commitGroup writes a group to the transaction, and commits that unless there
// is nothing to commit. The caller holds writing.
func (s *Store) commitGroup(tx *bbolt.Tx, group []*appending) (more bool, err error) {
	changed := false
	err = guarded(func() error {
		changed, more, err = s.apply(tx, group)
		return err
	})
	switch {
	case panicked(err):
		s.abandon(tx, err)
	case err != nil || !changed:
		err = errors.Join(err, s.database.rollback(tx))
	default:
		return more, s.commit(tx)
	}
	return more, s.fault(err)
}

// apply judges and writes each batch of a group, which sees those before it.
func (s *Store) apply(tx *bbolt.Tx, group []*appending) (changed, more bool, err error) {
	w := newWriting(tx, &s.limits, s.now())
	for _, a := range group {
		if a.err = a.ctx.Err(); a.err != nil {
			continue
		}
		h, objection := w.judge(a.id, &a.batch)
		if objection != nil {
			a.err = named(s.path, objection)
			continue
		}
		changed = true
		if err = w.write(a.id, h, &a.batch); err != nil {
			return false, false, err
		}
	}
	if s.sweepless {
		return changed, false, nil
	}
	swept, more, err := w.sweep(sweepPerGroup)
	return changed || swept, more, err
}

// commit has the transaction on the disk. The caller holds writing, or mu for
// writing.
func (s *Store) commit(tx *bbolt.Tx) error {
	s.gate.begin(tx.ID())
	err := guarded(tx.Commit)
	s.gate.end(err == nil)
	if panicked(err) {
		s.abandon(tx, err)
	}
	return s.fault(err)
}

// abandon gives up a transaction in which bbolt has panicked.
func (s *Store) abandon(tx *bbolt.Tx, err error) {
	s.database.abandon(tx)
	if p, ok := errors.AsType[*panicError](err); ok {
		s.logger.Error("bolt: the file cannot be written on", slog.String("file", s.path),
			slog.Any("error", err), slog.String("stack", string(p.stack)))
	}
}

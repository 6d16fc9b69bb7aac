package sharedata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/safe-go/safe/replay"
)

// This file brings the cached position up to the store's, where another process, or
// an append that seemed to fail, has added to the history. Only the goroutine that
// runs for the ShareData calls it.

// pageEntries is the number of entries that are read from the store at once.
const pageEntries = 256

// load reads the position where none is known, or none that exists.
func (s *shareData) load() error {
	return s.applyStored(func(next position) error {
		if next.restartAfter != 0 {
			return s.restartEpoch(next, next)
		}
		s.publish(next, nil)
		return nil
	})
}

// storedPosition is where the history stands in the store. Its state is nil if the
// entries after have, a position of which the state is known, lead to it.
func (m *Manager) storedPosition(ctx context.Context, id string, have replay.Cursor) (position, error) {
	for range maxRefreshes {
		head, err := m.loadHead(ctx, id, have)
		if errors.Is(err, replay.ErrNotFound) {
			return position{}, nil
		}
		var at position
		if err == nil {
			at, err = positionOf(id, head)
		}
		if err == nil && !head.CanContinue(have) {
			err = m.applyTail(ctx, id, &at, head)
		}
		if !isOvertaken(err) {
			if err != nil {
				err = m.storeError(id, "load", err)
			}
			return at, err
		}
	}
	return position{}, fmt.Errorf("%w: %.60q is removed and created all the time; try again later", ErrBusy, id)
}

func (m *Manager) loadHead(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	return m.options.Store.Load(ctx, id, have)
}

// isOvertaken reports whether a Read failed because the history has moved on since its
// position was read: it was removed, restarted, or trimmed up to a new snapshot.
func isOvertaken(err error) bool {
	return errors.Is(err, errOvertaken) || errors.Is(err, replay.ErrNotFound) || errors.Is(err, replay.ErrCursorTooOld) ||
		errors.Is(err, replay.ErrUnknownEpoch) || errors.Is(err, replay.ErrFutureCursor)
}

// applyTail sets the state of a position: the newest snapshot with the entries after it.
func (m *Manager) applyTail(ctx context.Context, id string, at *position, head replay.Head) error {
	if at.state = head.Snapshot; at.state == nil {
		return fmt.Errorf("%.60q at %s: %w: the store returns no snapshot", id, at.cursor, ErrBadRecord)
	}
	var last Entry
	for after := (replay.Cursor{Epoch: at.cursor.Epoch, Revision: head.SnapshotRevision}); after != at.cursor; {
		page, err := m.readEntries(ctx, id, after, int(min(pageEntries, at.cursor.Revision-after.Revision)))
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return errOvertaken
		}
		for _, stored := range page {
			if last, err = entryFrom(id, stored); err != nil {
				return err
			}
			state, err := stateAfter(at.state, &last)
			if err != nil {
				return fmt.Errorf("%.60q: %w", id, err)
			}
			if state != nil {
				at.state = state
			}
			at.tail.add(len(stored.Data), state)
		}
		after = last.Cursor
	}
	at.digest = digestOf(at.state)
	if !last.Cursor.IsZero() && (last.Hash != at.hash || last.StateHash != at.digest.hash) {
		return fmt.Errorf("%.60q at %s: %w: the snapshot and the entries after it do not lead to the recorded state; restore a backup",
			id, at.cursor, ErrBadRecord)
	}
	return nil
}

// withState returns the position with its state, which storedPosition has left out.
func (s *shareData) withState(at position) (position, error) {
	if !at.exists || at.state != nil {
		return at, nil
	}
	stored, err := s.manager.storedPosition(context.Background(), s.id, replay.Cursor{})
	if err == nil && (stored.cursor != at.cursor || stored.hash != at.hash) {
		err = errOvertaken
	}
	return stored, err
}

// refresh applies what the store holds beyond the current position, and notifies
// the observers.
func (s *shareData) refresh() error {
	err := s.applyStored(s.moveTo)
	if err == nil {
		s.committer.needsRefresh = false
	}
	return err
}

// maxRefreshes bounds how often applyStored begins again because the history was
// changed meanwhile, as by another process that removes or restarts it.
const maxRefreshes = 16

// applyStored reads the position from the store and applies it, until that was not
// overtaken by another process.
func (s *shareData) applyStored(apply func(next position) error) error {
	for i := range maxRefreshes {
		if i >= maxRefreshes/2 {
			time.Sleep(time.Duration(i) * time.Millisecond) // until other processes are done
		}
		var have replay.Cursor
		if current := s.current.Load(); current != nil {
			have = current.cursor
		}
		next, err := s.manager.storedPosition(context.Background(), s.id, have)
		if err != nil {
			return err
		}
		if err := apply(next); !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return fmt.Errorf("%w: %.60q is removed and created all the time; try again later", ErrBusy, s.id)
}

// errOvertaken says that the store does not hold the position any more to which a
// refresh was to move.
var errOvertaken = errors.New("the history was changed meanwhile")

// moveTo moves from the current position to one that the store held a moment ago.
func (s *shareData) moveTo(next position) error {
	var at position
	if current := s.current.Load(); current != nil {
		at = *current
	}
	switch {
	case next.restartAfter != 0:
		return s.restartEpoch(at, next)
	case at.cursor == next.cursor && at.hash == next.hash:
		next.state, next.digest, next.tail = at.state, at.digest, at.tail
		s.publish(next, nil)
	case !at.exists || next.cursor.Epoch > at.cursor.Epoch:
		return s.resetTo(next)
	case !next.exists:
		return s.restartLost(at)
	case next.cursor.Epoch == at.cursor.Epoch && next.cursor.Revision > at.cursor.Revision:
		return s.advanceTo(next)
	default:
		return s.restartEpoch(at, next)
	}
	return nil
}

// advanceTo reads and applies the entries between the current position and a later
// one of the same epoch.
func (s *shareData) advanceTo(to position) error {
	for {
		at := *s.current.Load()
		if at.cursor.Epoch != to.cursor.Epoch || at.cursor.Revision >= to.cursor.Revision {
			return nil
		}
		page, err := s.readEntries(at.cursor, pageEntries)
		switch {
		case errors.Is(err, replay.ErrCursorTooOld):
			return s.resetTo(to)
		case isOvertaken(err):
			return errOvertaken
		case err != nil:
			return s.storeError("read", err)
		case len(page) == 0:
			return errOvertaken
		}
		switch err := s.applyEntries(page); {
		case errors.Is(err, errOtherHistory):
			return s.restartEpoch(at, to)
		case err != nil:
			s.manager.options.Logger.Warn("the entries of another process cannot be applied; observers get the state instead", "shareData", s.id, "after", at.cursor.String(), "error", err)
			return s.resetTo(to)
		}
	}
}

func (s *shareData) readEntries(after replay.Cursor, limit int) ([]replay.Entry, error) {
	return s.manager.readEntries(context.Background(), s.id, after, limit)
}

func (m *Manager) readEntries(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	return m.options.Store.Read(ctx, id, after, limit)
}

// resetTo makes a position current that lies elsewhere in the history, or in
// another one. What lies between is not known, so observers get a Reset.
func (s *shareData) resetTo(next position) error {
	next, err := s.withState(next)
	if err != nil {
		return err
	}
	current := s.current.Load()
	if current == nil {
		s.publish(next, nil)
		return nil
	}
	at := *current
	s.committer.newestEpoch = max(s.committer.newestEpoch, at.cursor.Epoch)
	var events []Event
	switch {
	case next.exists:
		events = []Event{{Entry: Entry{ShareDataID: s.id, Cursor: next.cursor, StateHash: next.digest.hash}, State: next.state, Reset: true, LastTransaction: next.lastTransaction}}
	case at.exists:
		events = []Event{{Entry: Entry{ShareDataID: s.id, Type: EntryRemoved, Cursor: at.cursor.Next()}, Reset: true}}
	}
	s.publish(next, events)
	return nil
}

var (
	errNoContinuation = errors.New("the entries do not continue the history from here")
	errOtherHistory   = errors.New("the entries continue another history")
)

// applyEntries applies entries that follow the current position. It skips those up
// to it. Where the entries do not continue the history, or do not lead to the states
// that they record, it changes nothing, except that a removal among them counts.
func (s *shareData) applyEntries(entries []replay.Entry) error {
	before := *s.current.Load()
	at := before
	var events []Event
	for i, stored := range entries {
		if at.exists && stored.Cursor.Epoch == at.cursor.Epoch && stored.Cursor.Revision <= at.cursor.Revision {
			continue
		}
		e, err := entryFrom(s.id, stored)
		switch {
		case err != nil:
			return err
		case !at.exists || e.Cursor != at.cursor.Next():
			return fmt.Errorf("%w: %s does not come after %s", errNoContinuation, e.Cursor, at.cursor)
		case e.Previous != at.hash:
			return fmt.Errorf("%w: the entry before %s is not the one that is known at %s", errOtherHistory, e.Cursor, at.cursor)
		}
		state, err := stateAfter(at.state, &e)
		if err != nil {
			return err
		}
		at = at.after(&e, state, len(stored.Data))
		events = append(events, Event{Entry: e, State: at.state})
		if e.Type == EntryRemoved {
			s.committer.newestEpoch = max(s.committer.newestEpoch, e.Cursor.Epoch)
			s.publish(at, events)
			if i+1 < len(entries) {
				return fmt.Errorf("%w: it ends with %s", errNoContinuation, e.Cursor)
			}
			return nil
		}
	}
	if len(events) == 0 {
		return nil
	}
	recorded := at.digest.hash
	if at.digest = before.digest.next(before.state, at.state); at.digest.hash != recorded {
		return fmt.Errorf("%w: the entries up to %s do not lead to the state that was recorded there", errNoContinuation, at.cursor)
	}
	s.publish(at, events)
	return nil
}

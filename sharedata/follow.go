package sharedata

import (
	"context"
	"errors"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// This file brings a ShareData up to what the store holds, where another
// process, or an append that had failed, has added to it.

// readPage is the number of entries read from the store at once.
const readPage = 256

// load learns where the history stands when the ShareData is first needed.
func (s *shareData) load() error {
	next, err := s.stored()
	if err != nil {
		return err
	}
	s.publish(next, nil)
	return nil
}

// stored is the position that the store holds.
func (s *shareData) stored() (position, error) {
	return s.manager.storedPosition(context.Background(), s.id)
}

// storedPosition is where the store has a history.
func (m *Manager) storedPosition(ctx context.Context, id string) (position, error) {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	head, err := m.options.Store.Load(ctx, id)
	if errors.Is(err, replay.ErrNotFound) {
		return position{}, nil
	}
	if err != nil {
		return position{}, m.storeError(id, "load", err)
	}
	at, err := positionOf(id, head)
	if err != nil {
		return position{}, m.storeError(id, "load", err)
	}
	return at, nil
}

// maxRounds bounds how often follow looks again because the history was changed
// under it. Each round means that somebody ended a history or began one.
const maxRounds = 16

// follow applies what the store holds beyond the current position, and tells
// the observers.
func (s *shareData) follow() error {
	for range maxRounds {
		next, err := s.stored()
		if err != nil {
			return err
		}
		if err := s.reach(next); !errors.Is(err, errOvertaken) {
			s.stale = s.stale && err != nil
			return err
		}
	}
	return fmt.Errorf("%w: %.60q is ended and begun all the time", ErrBusy, s.id)
}

// errOvertaken says that the store no longer holds the position that was to be
// reached.
var errOvertaken = errors.New("the history was changed meanwhile")

// reach goes from the current position to one that the store held a moment ago.
func (s *shareData) reach(next position) error {
	var at position
	if current := s.current.Load(); current != nil {
		at = *current
	}
	switch {
	case at.cursor == next.cursor && at.hash == next.hash:
		s.publish(next, nil)
	case !at.exists || next.cursor.Epoch > at.cursor.Epoch:
		s.jump(at, next)
	case !next.exists:
		return s.vanished(at)
	case next.cursor.Epoch == at.cursor.Epoch && next.cursor.Revision > at.cursor.Revision:
		return s.advance(next)
	default:
		return s.startOver(at, next)
	}
	return nil
}

// advance reads the entries between the current position and a later one of the
// same epoch.
func (s *shareData) advance(to position) error {
	for {
		at := *s.current.Load()
		if at.cursor.Epoch != to.cursor.Epoch || at.cursor.Revision >= to.cursor.Revision {
			return nil
		}
		page, err := s.read(at.cursor, readPage)
		switch {
		case errors.Is(err, replay.ErrCursorTooOld):
			s.jump(at, to)
			return nil
		case errors.Is(err, replay.ErrNotFound), errors.Is(err, replay.ErrUnknownEpoch), errors.Is(err, replay.ErrFutureCursor):
			return errOvertaken
		case err != nil:
			return s.storeError("read", err)
		case len(page) == 0:
			return errOvertaken
		}
		switch err := s.extend(page); {
		case errors.Is(err, errOtherHistory):
			return s.startOver(at, to)
		case err != nil:
			s.manager.options.Logger.Warn("history cannot be followed entry by entry", "shareData", s.id, "after", at.cursor.String(), "error", err)
			s.jump(at, to) // the snapshot has to do
			return nil
		}
	}
}

func (s *shareData) read(after replay.Cursor, limit int) ([]replay.Entry, error) {
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	return s.manager.options.Store.Read(ctx, s.id, after, limit)
}

// jump makes a position current that lies elsewhere in the history, or in
// another one: observers cannot be told what lies between.
func (s *shareData) jump(at, next position) {
	s.epoch = max(s.epoch, at.cursor.Epoch)
	var events []Event
	switch {
	case s.current.Load() == nil:
	case next.exists:
		events = []Event{{Entry: Entry{ShareDataID: s.id, Cursor: next.cursor}, State: next.state, Reset: true, LastTransaction: next.lastTransaction}}
	case at.exists:
		events = []Event{{Entry: Entry{ShareDataID: s.id, Type: EntryRemoved, Cursor: at.cursor.Next()}, Reset: true}}
	}
	s.publish(next, events)
}

var (
	errNoContinuation = errors.New("the entries do not continue the history from here")
	errOtherHistory   = errors.New("the entries continue another history")
)

// extend applies entries that follow the current position; those up to it are
// passed over. Where they do not continue the history, or lack the states that
// they led to, it changes nothing; except that a removal among them counts.
func (s *shareData) extend(entries []replay.Entry) error {
	at := *s.current.Load()
	var events []Event
	for i, stored := range entries {
		if at.exists && stored.Cursor.Epoch == at.cursor.Epoch && stored.Cursor.Revision <= at.cursor.Revision {
			continue
		}
		e, err := entryFrom(s.id, stored)
		changes := e.Type != EntryRemoved && (e.Type != EntryTransaction || e.Accepted)
		switch {
		case err != nil:
			return err
		case !at.exists || e.Cursor != at.cursor.Next():
			return fmt.Errorf("%w: %s does not come after %s", errNoContinuation, e.Cursor, at.cursor)
		case e.Previous != at.hash:
			return fmt.Errorf("%w: what %s comes after is not the entry at %s that was known", errOtherHistory, e.Cursor, at.cursor)
		case changes && len(stored.State) == 0:
			return fmt.Errorf("%w: the state at %s is not kept", errNoContinuation, e.Cursor)
		}
		at = at.after(e, stored.State)
		events = append(events, Event{Entry: e, State: at.state})
		if e.Type == EntryRemoved {
			s.epoch = max(s.epoch, e.Cursor.Epoch)
			s.publish(at, events)
			if i+1 < len(entries) {
				return fmt.Errorf("%w: it ends with %s", errNoContinuation, e.Cursor)
			}
			return nil
		}
	}
	if len(events) > 0 {
		s.publish(at, events)
	}
	return nil
}

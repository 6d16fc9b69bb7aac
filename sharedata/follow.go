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
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	head, err := s.manager.options.Store.Load(ctx, s.id)
	if errors.Is(err, replay.ErrNotFound) {
		return position{}, nil
	}
	if err != nil {
		return position{}, s.storeError("load", err)
	}
	at, err := positionOf(s.id, head)
	if err != nil {
		return position{}, s.storeError("load", err)
	}
	return at, nil
}

// follow applies what the store holds beyond the current position, and tells
// the observers. conflict is the error by which that was noticed, if so.
func (s *shareData) follow(conflict error) error {
	at := position{}
	if current := s.current.Load(); current != nil {
		at = *current
	}
	var c *replay.ConflictError
	if errors.As(conflict, &c) {
		s.epoch = max(s.epoch, c.Head.Epoch)
	}
	missed, err := s.missed(at, c)
	if err != nil {
		return err
	}
	next, events, err := s.replay(at, missed)
	if err != nil {
		// The entries in between cannot be had, so the snapshot has to do.
		if next, err = s.stored(); err != nil {
			return err
		}
		events = s.discontinuity(at, next)
	}
	s.stale = false
	if len(events) > 0 || s.current.Load() == nil {
		s.publish(next, events)
	}
	return nil
}

var errNoContinuation = errors.New("the history does not continue from here")

// missed returns the entries after at, as the conflict brought them along or
// else from the store. A nil slice with a nil error means there is no way to
// have them.
func (s *shareData) missed(at position, c *replay.ConflictError) ([]replay.Entry, error) {
	if !at.exists {
		return nil, nil
	}
	if c != nil && len(c.Missed) > 0 && c.Missed[0].Cursor == at.cursor.Next() {
		return c.Missed, nil
	}
	missed := []replay.Entry{}
	for after := at.cursor; ; after = missed[len(missed)-1].Cursor {
		ctx, cancel := s.manager.storeContext(context.Background())
		page, err := s.manager.options.Store.Read(ctx, s.id, after, readPage)
		cancel()
		var cursorError *replay.CursorError
		switch {
		case errors.As(err, &cursorError) || errors.Is(err, replay.ErrNotFound):
			return nil, nil
		case err != nil:
			return nil, s.storeError("read", err)
		}
		missed = append(missed, page...)
		if len(page) < readPage {
			return missed, nil
		}
	}
}

// replay follows the entries from at. It fails where they do not continue the
// history or lack the states that they led to.
func (s *shareData) replay(at position, missed []replay.Entry) (position, []Event, error) {
	if missed == nil {
		return at, nil, errNoContinuation
	}
	var events []Event
	for _, stored := range missed {
		e, err := entryFrom(s.id, stored)
		changes := e.Type != EntryRemoved && (e.Type != EntryTransaction || e.Accepted)
		switch {
		case err != nil:
			return at, nil, err
		case e.Cursor != at.cursor.Next() || e.Previous != at.hash:
			return at, nil, fmt.Errorf("%w: %s comes after %s", errNoContinuation, e.Cursor, at.cursor)
		case changes && stored.State == nil:
			return at, nil, fmt.Errorf("%w: the state at %s is not kept", errNoContinuation, e.Cursor)
		}
		at = at.after(e, stored.State)
		events = append(events, Event{Entry: e, State: at.state})
	}
	return at, events, nil
}

// discontinuity is what observers are told who cannot be told what lies
// between two positions.
func (s *shareData) discontinuity(at, next position) []Event {
	switch {
	case !at.exists && !next.exists, at.cursor == next.cursor && at.hash == next.hash:
		return nil
	case !next.exists:
		return []Event{{Entry: Entry{ShareDataID: s.id, Type: EntryRemoved, Cursor: at.cursor.Next()}, Reset: true}}
	}
	return []Event{{Entry: Entry{ShareDataID: s.id, Cursor: next.cursor}, State: next.state, Reset: true}}
}

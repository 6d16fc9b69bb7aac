package sharedata

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/safe-go/safe/replay"
)

// This file deals with a store that holds less than it had, or something else
// in the same place: it failed over to a replica that lacked the newest
// entries, was emptied, or a backup was restored. Cursors of the epoch, which
// clients hold and which were told here, may mean other entries from now on, so
// the history goes on in a new epoch. Its first entry says what it continues.
//
// Of several processes that notice, one does it and the others follow.

// startOver goes on from what the store holds, which is the truth.
func (s *shareData) startOver(at, held position) error {
	return s.goOnIn(at, held, held.state)
}

// vanished decides what it means that the store has no history where there was
// one. If it knows of a removal, it was removed. Otherwise it was lost, and goes
// on from the state that is known here, provided that the ShareData is followed
// and that state is no old one.
func (s *shareData) vanished(at position) error {
	removed, err := s.wasRemoved(at)
	switch {
	case err != nil:
		return err
	case !removed && s.followed.Load():
		keyed := s.recent.byKey()
		err := s.goOnIn(at, position{cursor: at.cursor, origin: at.origin, kind: at.kind, hash: at.hash}, at.state)
		if err == nil {
			s.carried = keyed
		}
		return err
	case !removed:
		s.manager.options.Logger.Error("the store has lost a history", "shareData", s.id, "known", at.cursor.String())
	}
	s.jump(at, position{})
	return nil
}

// wasRemoved asks the store for the end of a history that it does not have. The
// append is one that it must refuse, and the refusal says.
func (s *shareData) wasRemoved(at position) (bool, error) {
	probe := decision{next: at}
	probe.add(Entry{Type: EntryUpdated}, at.state, "", circumstances{id: s.id, now: time.Now()})
	err := s.append(at, &probe, 0)
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	switch {
	case ok && conflict.Head.IsZero():
		return false, nil
	case ok && conflict.Reason == replay.ConflictRemoved:
		return true, nil
	case err != nil && !ok:
		return false, err
	}
	return false, errOvertaken // it is back
}

// goOnIn starts the history over in a new epoch, with the state, where the store
// holds what held says.
func (s *shareData) goOnIn(at, held position, state json.RawMessage) error {
	s.epoch = max(s.epoch, at.cursor.Epoch, held.cursor.Epoch)
	d := decision{next: held}
	d.add(Entry{Type: EntryCreated, Kind: held.kind, Continues: held.cursor}, state, "", circumstances{
		id: s.id, now: time.Now(), epoch: replay.NewEpoch(s.epoch),
	})
	if !held.exists {
		held = position{}
	}
	err := s.append(held, &d, 0)
	switch {
	case errors.Is(err, replay.ErrConflict):
		return errOvertaken
	case err != nil:
		return err
	}
	s.manager.options.Logger.Error("the store has lost a part of a history, or all of it; it goes on in a new epoch",
		"shareData", s.id, "known", at.cursor.String(), "from", d.entries[0].Continues.String(), "now", d.next.cursor.String())
	s.jump(at, d.next)
	return nil
}

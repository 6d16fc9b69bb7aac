package sharedata

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/safe-go/safe/replay"
)

// This file restarts the epoch of a history where the store holds less than it had,
// or another history in the same place: it failed over to a replica that lacked the
// newest entries, was flushed, or a backup was restored. Cursors of the epoch, which
// clients hold, could mean other entries from now on, so the history continues in a
// later epoch. The first entry of that says what it continues.
//
// Where several processes notice, one of them restarts the epoch and the others
// follow it.

// restartEpoch continues from what the store holds, which is authoritative.
func (s *shareData) restartEpoch(at, held position) error {
	held, err := s.withState(held)
	if err != nil {
		return err
	}
	return s.restartIn(at, held, held.state)
}

// restartLost decides what it means that the store has no history where there was
// one. If the store knows of a removal, it was removed. Otherwise it was lost, and
// continues from the state that is known here, provided that the ShareData is
// followed, so that the state is not an old one.
func (s *shareData) restartLost(at position) error {
	removed, err := s.wasRemoved(at)
	switch {
	case err != nil:
		return err
	case !removed && s.isFollowed():
		keyed := s.recent.byKey()
		err := s.restartIn(at, position{cursor: at.cursor, origin: at.origin, kind: at.kind, hash: at.hash}, at.state)
		if err == nil {
			s.committer.known.lost = keyed
		}
		return err
	case !removed:
		s.manager.options.Logger.Error("the store has lost a history", "shareData", s.id, "known", at.cursor.String())
	}
	return s.resetTo(position{})
}

// wasRemoved asks the store for the end of a history that it does not have: an
// append that it must refuse brings the reason.
func (s *shareData) wasRemoved(at position) (bool, error) {
	probe := decision{id: s.id, now: time.Now(), next: at}
	probe.addEntry(&Entry{Type: EntryUpdated}, "", effect{state: at.state})
	// Where the history is back, it must be refused as well.
	at.stored = []byte("the meta of no entry")
	err := s.appendAt(at, &probe, 0)
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	switch {
	case ok && conflict.Reason == replay.ConflictRemoved:
		return true, nil
	case ok && conflict.Head.IsZero():
		return false, nil
	case err != nil && !ok:
		return false, withoutDoubt(err)
	}
	return false, errOvertaken // it is back
}

// restartIn continues the history in a new epoch with the state, where the store
// holds what held says.
func (s *shareData) restartIn(at, held position, state json.RawMessage) error {
	c := &s.committer
	c.newestEpoch = max(c.newestEpoch, at.cursor.Epoch, held.cursor.Epoch, held.restartAfter)
	d := decision{id: s.id, now: time.Now(), epoch: replay.NewEpoch(c.newestEpoch), next: held}
	d.addEntry(&Entry{Type: EntryCreated, Kind: held.kind, Continues: held.cursor}, "", effect{state: state})
	if !held.exists {
		held = position{}
	}
	err := s.appendAt(held, &d, 0)
	switch {
	case errors.Is(err, replay.ErrConflict):
		if conflict, ok := errors.AsType[*replay.ConflictError](err); ok {
			c.newestEpoch = max(c.newestEpoch, conflict.Head.Epoch)
		}
		return errOvertaken
	case err != nil:
		return withoutDoubt(err) // a restart is no change of anybody's
	}
	s.manager.options.Logger.Error("the store has lost, or may have lost, a part of a history or all of it; the history continues in a new epoch",
		"shareData", s.id, "known", at.cursor.String(), "from", d.last().Continues.String(), "now", d.next.cursor.String())
	return s.resetTo(d.next)
}

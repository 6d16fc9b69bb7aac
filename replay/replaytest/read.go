package replaytest

import (
	"errors"
	"math"

	"github.com/safe-go/safe/replay"
)

// grown is a history that was written in batches of different lengths.
func (s *subject) grown(id string, batches int) *history {
	s.Helper()
	want := s.started(id)
	for i := range batches {
		entries := many("entry ", 1+i%4)
		entries[0].State = []byte("state")
		entries[len(entries)-1].Key = string(rune('a' + i))
		s.commit(id, want, want.next(entries...))
	}
	return want
}

func readsWhatFollowed(f *fixture) {
	s := f.open()
	want := s.grown("id", 9)
	s.started("other", many("other ", 50)...)
	n := len(want.entries)
	for revision := range n + 1 {
		after := want.at(uint64(revision))
		for _, limit := range []int{1, 2, 7, n - 1, n, n + 1, math.MaxInt} {
			following := want.after(after)
			s.sameEntries("Read", s.read("id", after, limit), following[:min(limit, len(following))])
		}
		for _, limit := range []int{0, -1, math.MinInt} {
			s.sameEntries("Read with a limit below 1", s.read("id", after, limit), nil)
		}
	}
	s.holds("id", want)
}

func readsInPieces(f *fixture) {
	s := f.open()
	want := s.grown("id", 25)
	for _, limit := range []int{1, 3, 10, 64} {
		var got []replay.Entry
		for at := want.zero(); at != want.head(); at = got[len(got)-1].Cursor {
			piece := s.read("id", at, limit)
			if len(piece) == 0 || len(piece) > limit || piece[0].Cursor != at.Next() {
				s.Fatalf("Read after %s, up to %d of a history at %s: %d entries from %s",
					at, limit, want.head(), len(piece), firstOf(replay.Batch{Entries: piece}))
			}
			got = append(got, piece...)
		}
		s.sameEntries("Read in pieces", got, want.entries)
	}
}

func refusesCursors(f *fixture) {
	s := f.open()
	want := s.started("id", many("entry ", 5)...)
	head := want.head()
	for _, revision := range []uint64{0, 1, 4, 5, 6, math.MaxUint64} {
		for _, epoch := range []uint64{1, firstEpoch - 1, firstEpoch + 1, math.MaxUint64} {
			s.readRefused("id", replay.Cursor{Epoch: epoch, Revision: revision}, replay.ErrUnknownEpoch, head, 1)
		}
	}
	s.readRefused("id", replay.Cursor{}, replay.ErrUnknownEpoch, head, 1)
	for _, revision := range []uint64{6, 7, 1 << 40, 1 << 62, math.MaxUint64} {
		s.readRefused("id", want.at(revision), replay.ErrFutureCursor, head, 1)
	}
	s.holds("id", want)
}

func readsNoHistory(f *fixture) {
	s := f.open()
	s.started("other")
	for _, after := range []replay.Cursor{{}, {Epoch: firstEpoch}, {Epoch: firstEpoch, Revision: 1}} {
		if entries, err := s.store.Read(s.ctx, "id", after, all); !errors.Is(err, replay.ErrNotFound) || len(entries) > 0 {
			s.Errorf("Read after %s where there is no history: %d entries, error %v; want ErrNotFound", after, len(entries), err)
		}
	}
	s.holdsNothing("id")
	s.sameEntries("Find where there is no history", s.find("id", "key", ""), nil)
}

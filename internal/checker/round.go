package checker

import (
	"slices"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// round is what follows one state, up to the next one or the end:
//
//	state, replayed frames of (from, at], live frames after at
//	state, cursor not found,              live frames after at
type round struct {
	// at is the snapshot's position.
	at replay.Cursor
	// resumes says that the frames of (from, at] are due, and counted that the
	// state said so.
	resumes, counted bool
	from             uint64
	replayed, live   run
	// word says whether "cursor not found" must come; why is the reason, and
	// told says that it came.
	word word
	why  string
	told bool
	// unasked says that nobody asked for the state.
	unasked bool
	// brokenOff says that it was told in the middle of the replay: the rest
	// cannot be had, and a new state or the removal must follow.
	brokenOff bool
	// anyReplayed and anyLive say which frames came; stray and interleaved that
	// it was reported that they should not have come.
	anyReplayed, anyLive bool
	stray, interleaved   bool
	// early is the revision of a verdict that came before its transaction.
	early uint64
	// ending says that an end was asked for: frames may still come, but need
	// not. removed says that the ShareData is gone: nothing may.
	ending, removed bool
	// state is the hash of the state at stateAt.
	state   sharedata.Hash
	stateAt uint64
}

// word is "cursor not found".
type word int

const (
	mustNotCome word = iota
	mayCome
	mustCome
)

func newRound(r *record) *round {
	return &round{
		at: r.cursor, live: run{last: r.cursor.Revision}, replayed: run{last: r.cursor.Revision},
		state: r.state, stateAt: r.cursor.Revision,
	}
}

// expect makes the round one that resumes from a revision.
func (r *round) expect(from uint64) {
	r.resumes, r.from = true, from
	r.replayed = run{last: from}
}

// caughtUp reports whether all that was due before live frames has come.
func (r *round) caughtUp() bool {
	return !r.resumes || r.replayed.last >= r.at.Revision
}

// position is that of the newest frame without a hole before it that a
// reader, who trusts the order, would resume from.
func (r *round) position() replay.Cursor {
	if !r.anyLive && !r.caughtUp() {
		return replay.Cursor{Epoch: r.at.Epoch, Revision: r.replayed.last}
	}
	return replay.Cursor{Epoch: r.at.Epoch, Revision: r.live.last}
}

// missing are the revisions that were skipped for good.
func (r *round) missing() []span {
	missing := slices.Clone(r.replayed.missing)
	if r.anyLive && !r.caughtUp() && !r.brokenOff {
		missing = append(missing, span{r.replayed.last + 1, r.at.Revision})
	}
	return append(missing, r.live.missing...)
}

package checker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// segment is the part of a stream that one state begins, up to the next state or
// the end:
//
//	state, replayed frames of (from, at], live frames after at
//	state, cursor not found,              live frames after at
type segment struct {
	// at is the snapshot's position.
	at replay.Cursor
	// resumes says that the frames of (from, at] must follow, and counted that the
	// state said how many.
	resumes, counted bool
	from             uint64
	replayed, live   sequence
	// notFound says whether "cursor not found" must come, why gives the reason,
	// and notFoundSeen says that it came.
	notFound     rule
	why          string
	notFoundSeen bool
	// unsolicited says that the state answers no subscribe. patches says that the
	// subscription is one with patches, and conflate that it may skip entries.
	unsolicited, patches, conflate bool
	// aborted says that "cursor not found" came in the middle of the replay. A new
	// state or the removal must follow.
	aborted bool
	// anyReplayed and anyLive say which frames came. strayReported and
	// interleavedReported say that a violation by such frames was reported.
	anyReplayed, anyLive               bool
	strayReported, interleavedReported bool
	// earlyResult is the revision of a result that came before its transaction.
	earlyResult uint64
	// unsubscribed says that an unsubscribe was sent: frames may still come, but
	// need not. removed says that the ShareData was removed: no frame may come.
	unsubscribed, removed bool
	// state is the hash of the state at stateAt.
	state   sharedata.Hash
	stateAt uint64
}

// rule says whether something may or must happen.
type rule int

const (
	forbidden rule = iota
	allowed
	required
)

func newSegment(r *record) *segment {
	return &segment{
		at: r.cursor, live: sequence{last: r.cursor.Revision}, replayed: sequence{last: r.cursor.Revision},
		state: r.state, stateAt: r.cursor.Revision, counted: r.counted, patches: r.patches,
	}
}

// resumeFrom makes the frames after a revision required.
func (g *segment) resumeFrom(revision uint64) {
	g.resumes, g.from = true, revision
	g.replayed = sequence{last: revision}
}

// caughtUp reports whether the replay is complete, or none is required.
func (g *segment) caughtUp() bool {
	return !g.resumes || g.replayed.last >= g.at.Revision
}

// position is the newest one that a reader who relies on the order would resume
// from.
func (g *segment) position() replay.Cursor {
	if !g.anyLive && !g.caughtUp() {
		return replay.Cursor{Epoch: g.at.Epoch, Revision: g.replayed.last}
	}
	return replay.Cursor{Epoch: g.at.Epoch, Revision: g.live.last}
}

// missing returns the revisions that did not come although later ones did.
func (g *segment) missing() []span {
	missing := slices.Clone(g.replayed.missing)
	if g.anyLive && !g.caughtUp() && !g.aborted {
		missing = append(missing, span{g.replayed.last + 1, g.at.Revision})
	}
	return append(missing, g.live.missing...)
}

// noReplay says why no frame may be replayed.
func (g *segment) noReplay() string {
	switch {
	case g.notFoundSeen:
		return "the cursor was not found"
	case g.why != "":
		return g.why
	}
	return "there was nothing to resume"
}

// span is a range of revisions, both ends included.
type span struct{ first, last uint64 }

func (s span) String() string {
	if s.first == s.last {
		return fmt.Sprint(s.first)
	}
	return fmt.Sprintf("%d to %d", s.first, s.last)
}

// sequence tracks revisions that should come one after the other.
type sequence struct {
	last uint64
	// missing are the revisions below last that did not come, in order.
	missing []span
}

// skipTo leaves out the revisions up to another one.
func (q *sequence) skipTo(revision uint64) { q.last = max(q.last, revision) }

// placement is how a revision fits into a sequence.
type placement int

const (
	inOrder  placement = iota // newer than all before; what it skips may still come
	late                      // skipped before
	repeated                  // received before
)

func (q *sequence) add(revision uint64) placement {
	if revision > q.last {
		if revision > q.last+1 {
			q.missing = append(q.missing, span{q.last + 1, revision - 1})
		}
		q.last = revision
		return inOrder
	}
	for i, m := range q.missing {
		if revision < m.first || revision > m.last {
			continue
		}
		var rest []span
		if m.first < revision {
			rest = append(rest, span{m.first, revision - 1})
		}
		if revision < m.last {
			rest = append(rest, span{revision + 1, m.last})
		}
		q.missing = slices.Replace(q.missing, i, i+1, rest...)
		return late
	}
	return repeated
}

func list(spans []span) string {
	var text []string
	for _, s := range spans {
		text = append(text, s.String())
	}
	return strings.Join(text, ", ")
}

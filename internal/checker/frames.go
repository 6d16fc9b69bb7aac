package checker

import (
	"slices"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// frame evaluates the frame of an entry.
func (s *stream) frame(r *record) {
	g := s.segment
	switch {
	case g == nil && s.gapReported && r.kind == removed:
		// No state follows the gap, because the ShareData was removed.
		s.evaluation.noteRemoval(s.log.shareData, s.before.Epoch)
		s.before, s.gapReported = replay.Cursor{}, false
		return
	case g == nil && s.gapReported:
		s.report(Resumable, "no state came between the gap and this")
		return
	case g == nil:
		s.report(NeverInterleaved, "it came without a state before it")
		return
	case g.removed:
		s.report(NeverInterleaved, "it came after the removal, which ends the subscription")
		return
	}
	if !r.cursor.IsZero() {
		s.compare(r)
	}
	if r.replayed {
		s.replayedFrame(r)
		return
	}
	s.liveFrame(r)
	if r.kind == removed {
		g.removed = true
		s.evaluation.noteRemoval(s.log.shareData, g.at.Epoch)
	}
}

func (s *stream) replayedFrame(r *record) {
	g := s.segment
	revision := r.cursor.Revision
	switch {
	case !g.resumes:
		if !g.strayReported {
			g.strayReported = true
			s.report(Resumable, "it was replayed though %s", g.noReplay())
		}
		return
	case g.aborted:
		s.report(Resumable, "it was replayed after \"cursor not found\"")
		return
	case r.cursor.Epoch != g.at.Epoch:
		s.report(Resumable, "it was replayed though it is of another epoch than the state, %d", g.at.Epoch)
		return
	case g.anyLive && !g.interleavedReported:
		g.interleavedReported = true
		s.report(NeverInterleaved, "it was replayed after live frames")
	}
	g.anyReplayed = true
	switch {
	case revision <= g.from:
		s.report(Once, "it was replayed though the cursor, revision %d, is not before it", g.from)
	case revision > g.at.Revision:
		s.report(NeverInterleaved, "it was replayed though the state, revision %d, is before it", g.at.Revision)
	default:
		s.inOrder(&g.replayed, revision)
	}
}

func (s *stream) liveFrame(r *record) {
	g := s.segment
	s.requireNotFound(r)
	if r.cursor.IsZero() {
		s.removalWithoutPosition()
		return
	}
	revision := r.cursor.Revision
	switch {
	case r.cursor.Epoch != g.at.Epoch:
		s.report(Ordered, "it is of another epoch than the state, %d", g.at.Epoch)
		return
	case revision <= g.at.Revision:
		s.report(NeverInterleaved, "it is live though the state, revision %d, has it already", g.at.Revision)
		return
	}
	s.notEarly(revision)
	g.anyLive = true
	s.unchangedByRejection(r)
	s.inOrder(&g.live, revision)
}

// notEarly reports a result that came before the frame with its effect.
func (s *stream) notEarly(revision uint64) {
	if g := s.segment; revision <= g.earlyResult {
		s.report(Ordered, "it came after the result of a proposal of the same connection at revision %d", g.earlyResult)
		g.earlyResult = 0
	}
}

func (s *stream) inOrder(to *sequence, revision uint64) {
	last := to.last
	switch to.add(revision) {
	case late:
		s.report(Ordered, "revision %d came after %d", revision, last)
	case repeated:
		s.report(Once, "revision %d came again; the newest one is %d", revision, last)
	}
}

// requireNotFound demands "cursor not found" before the first live frame, where
// the subscriber is not resumed. It reports once.
func (s *stream) requireNotFound(r *record) {
	g := s.segment
	switch {
	case g.aborted && r.kind == removed:
		return
	case g.aborted:
		s.report(Resumable, "the replay broke off, and live frames followed")
		g.aborted = false
	case g.notFound == required && !g.notFoundSeen && g.unsolicited:
		s.report(NeverInterleaved, "the state before it was not asked for, and \"cursor not found\" did not come")
	case g.notFound == required && !g.notFoundSeen:
		s.report(Resumable, "it came before \"cursor not found\": %s", g.why)
	case !g.counted && g.resumes && !g.anyReplayed && !g.caughtUp() && !s.log.client:
		s.report(Resumable, "nothing was replayed, and \"cursor not found\" did not come")
		g.resumes = false
	default:
		return
	}
	g.notFound = allowed
}

// removalWithoutPosition looks the position of a removal up in the history, where
// the frame has none.
func (s *stream) removalWithoutPosition() {
	g := s.segment
	h := s.evaluation.histories[s.log.shareData]
	if g.aborted || h == nil || h.chains[g.at.Epoch] == nil {
		return
	}
	c := h.chains[g.at.Epoch]
	if e := c.entry(c.newest()); e != nil && e.Type == sharedata.EntryRemoved && e.Cursor.Revision > g.at.Revision {
		g.anyLive = true
		s.inOrder(&g.live, e.Cursor.Revision)
	}
}

// unchangedByRejection compares the state in a rejection with the state before it,
// also where no history was recorded.
func (s *stream) unchangedByRejection(r *record) {
	g := s.segment
	if r.kind == transaction && !r.accepted && g.stateAt+1 == r.cursor.Revision && r.hasState && r.state != g.state {
		s.report(CommittedBeforeSeen, "it was rejected, but its state is not the one before it")
	}
	if r.hasState {
		g.state, g.stateAt = r.state, r.cursor.Revision
	}
}

// compareState compares a snapshot with the history.
func (s *stream) compareState(r *record) {
	s.compare(r)
	h := s.evaluation.histories[s.log.shareData]
	if h == nil || h.chains[r.cursor.Epoch] == nil {
		return
	}
	last, known := h.chains[r.cursor.Epoch].lastTransaction(r.cursor.Revision)
	if s.log.client && r.resumed && r.last.IsZero() {
		return // the client need not know it
	}
	if known && (last != r.last.Revision || last != 0 && r.last.Epoch != r.cursor.Epoch) {
		s.report(CommittedBeforeSeen, "the state names %s as the newest transaction, the history revision %d", r.last, last)
	}
}

// result notes the result of a proposal of the same connection that came before
// its transaction. It is a violation once the transaction comes: a connection that
// the server is closing gets results, but no transactions any more.
func (s *stream) result(r *record) {
	// The server handles the messages about one ShareData in order, so subscribes
	// that were sent before the proposal are answered.
	s.pending = slices.DeleteFunc(s.pending, func(p pendingSubscribe) bool { return p.maybeAnswered && p.at < r.number })
	g := s.segment
	if g == nil || g.unsubscribed || g.removed || g.aborted || r.repeated || len(s.pending) > 0 ||
		r.cursor.Epoch != g.at.Epoch || !g.caughtUp() {
		return
	}
	if r.cursor.Revision > g.live.last {
		g.earlyResult = r.cursor.Revision
	}
}

package checker

import (
	"slices"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// frame judges the frame of an entry.
func (s *stream) frame(r *record) {
	rd := s.round
	switch {
	case rd == nil && s.gapTold && r.kind == removed:
		// Where the ShareData is gone, there is no state to follow the gap.
		s.judge.sawRemoval(s.log.shareData, s.before.Epoch)
		s.before, s.gapTold = replay.Cursor{}, false
		return
	case rd == nil && s.gapTold:
		s.report(Resumable, "no state came between the gap and this")
		return
	case rd == nil:
		s.report(NeverInterleaved, "it came without a state before it")
		return
	case rd.removed:
		s.report(NeverInterleaved, "it came after the removal, which ends the subscription")
		return
	}
	if !r.cursor.IsZero() {
		s.known(r)
	}
	if r.replayed {
		s.replayedFrame(r)
		return
	}
	s.liveFrame(r)
	if r.kind == removed {
		rd.removed = true
		s.judge.sawRemoval(s.log.shareData, rd.at.Epoch)
	}
}

func (s *stream) replayedFrame(r *record) {
	rd := s.round
	revision := r.cursor.Revision
	switch {
	case !rd.resumes:
		if !rd.stray {
			rd.stray = true
			s.report(Resumable, "it was replayed though %s", rd.noReplay())
		}
		return
	case rd.brokenOff:
		s.report(Resumable, "it was replayed after the word that the cursor was not found")
		return
	case r.cursor.Epoch != rd.at.Epoch:
		s.report(Resumable, "it was replayed though it is of another epoch than the state, %d", rd.at.Epoch)
		return
	case rd.anyLive && !rd.interleaved:
		rd.interleaved = true
		s.report(NeverInterleaved, "it was replayed after live frames")
	}
	rd.anyReplayed = true
	switch {
	case revision <= rd.from:
		s.report(Once, "it was replayed though the cursor, revision %d, is not before it", rd.from)
	case revision > rd.at.Revision:
		s.report(NeverInterleaved, "it was replayed though the state, revision %d, is before it", rd.at.Revision)
	default:
		s.inOrder(&rd.replayed, revision)
	}
}

// noReplay says why nothing is to be replayed.
func (r *round) noReplay() string {
	switch {
	case r.told:
		return "the cursor was not found"
	case r.why != "":
		return r.why
	}
	return "there was nothing to resume"
}

func (s *stream) liveFrame(r *record) {
	rd := s.round
	s.wordBeforeLive(r)
	if r.cursor.IsZero() {
		s.removalWithoutPosition()
		return
	}
	revision := r.cursor.Revision
	switch {
	case r.cursor.Epoch != rd.at.Epoch:
		s.report(Ordered, "it is of another epoch than the state, %d", rd.at.Epoch)
		return
	case revision <= rd.at.Revision:
		s.report(NeverInterleaved, "it is live though the state, revision %d, has it already", rd.at.Revision)
		return
	}
	if revision <= rd.early {
		s.report(Ordered, "it came after the verdict on a proposal of the same connection, which was decided at revision %d", rd.early)
		rd.early = 0
	}
	rd.anyLive = true
	s.unchangedByRejection(r)
	s.inOrder(&rd.live, revision)
}

func (s *stream) inOrder(to *run, revision uint64) {
	last := to.last
	switch to.take(revision) {
	case late:
		s.report(Ordered, "revision %d came after %d", revision, last)
	case repeated:
		s.report(Once, "revision %d came again; the newest one is %d", revision, last)
	}
}

// wordBeforeLive demands that who is not resumed is told so before anything
// live. It reports once.
func (s *stream) wordBeforeLive(r *record) {
	rd := s.round
	switch {
	case rd.brokenOff && r.kind == removed:
		return
	case rd.brokenOff:
		s.report(Resumable, "the replay broke off, and live frames followed")
		rd.brokenOff = false
	case rd.word == mustCome && !rd.told && rd.unasked:
		s.report(NeverInterleaved, "the state before it was not asked for, and nothing said that the history did not continue")
	case rd.word == mustCome && !rd.told:
		s.report(Resumable, "it came before any word that the cursor was not found: %s", rd.why)
	case !rd.counted && rd.resumes && !rd.anyReplayed && !rd.caughtUp() && !s.log.user:
		s.report(Resumable, "neither was anything replayed nor was there a word that the cursor was not found")
		rd.resumes = false
	default:
		return
	}
	rd.word = mayCome
}

// removalWithoutPosition takes the position of a removal that names none from
// the history.
func (s *stream) removalWithoutPosition() {
	rd := s.round
	h := s.judge.histories[s.log.shareData]
	if rd.brokenOff || h == nil || h.chains[rd.at.Epoch] == nil {
		return
	}
	c := h.chains[rd.at.Epoch]
	if e := c.entry(c.newest()); e != nil && e.Type == sharedata.EntryRemoved && e.Cursor.Revision > rd.at.Revision {
		rd.anyLive = true
		s.inOrder(&rd.live, e.Cursor.Revision)
	}
}

// unchangedByRejection holds the state in a rejection against the one before
// it. That also works where no history was recorded.
func (s *stream) unchangedByRejection(r *record) {
	rd := s.round
	if r.kind == transaction && !r.accepted && rd.stateAt+1 == r.cursor.Revision && r.state != rd.state {
		s.report(CommittedBeforeSeen, "it was rejected, and yet shows another state than the one before it")
	}
	if r.hasState {
		rd.state, rd.stateAt = r.state, r.cursor.Revision
	}
}

// compareState holds a snapshot against the history.
func (s *stream) compareState(r *record) {
	s.known(r)
	h := s.judge.histories[s.log.shareData]
	if h == nil || h.chains[r.cursor.Epoch] == nil {
		return
	}
	last, known := h.chains[r.cursor.Epoch].lastTransaction(r.cursor.Revision)
	if known && (last != r.last.Revision || last != 0 && r.last.Epoch != r.cursor.Epoch) {
		s.report(CommittedBeforeSeen, "the state names %s as the newest transaction, the history revision %d", r.last, last)
	}
}

// result notes a verdict on a proposal of the same connection that came before
// its transaction. That is a violation once the transaction comes: a connection
// that the server is closing gets verdicts, and no transactions any more.
func (s *stream) result(r *record) {
	// What is asked about one ShareData is dealt with in its order.
	s.asks = slices.DeleteFunc(s.asks, func(a ask) bool { return a.doubtful && a.at < r.number })
	rd := s.round
	if rd == nil || rd.ending || rd.removed || rd.brokenOff || r.repeated || len(s.asks) > 0 ||
		r.cursor.Epoch != rd.at.Epoch || !rd.caughtUp() {
		return
	}
	if r.cursor.Revision > rd.live.last {
		rd.early = r.cursor.Revision
	}
}

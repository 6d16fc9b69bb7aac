package checker

import (
	"fmt"

	"github.com/safe-go/safe/replay"
)

// subscribed begins a subscription of a client, or adds a pending subscribe.
func (s *stream) subscribed(r *record) {
	if !s.log.client {
		s.pending = append(s.pending, pendingSubscribe{record: r})
		return
	}
	s.endSegment()
	s.gapReported, s.conflate = false, r.conflate
	// A cursor that does not parse is zero: nothing can be resumed from it.
	s.before, _ = replay.ParseCursor(r.text)
	s.pending = []pendingSubscribe{{record: r}}
}

// unsubscribed ends the subscription and cancels the pending subscribes.
func (s *stream) unsubscribed() {
	if s.segment != nil {
		s.segment.unsubscribed = true
	}
	for i := range s.pending {
		s.pending[i].cancelled = true
	}
	s.gapReported = false
}

// refused takes the oldest subscribe for refused. Whether a subscription from
// before goes on is not known.
func (s *stream) refused() {
	if len(s.pending) == 0 {
		return
	}
	s.takeOldest(s.candidates())
	if s.segment != nil {
		s.segment.unsubscribed = true
	}
}

// state begins a segment with the snapshot that answers a subscribe.
func (s *stream) state(r *record) {
	if len(s.pending) == 0 {
		s.unsolicitedState(r)
		return
	}
	// Where a history did not continue, or a replay breaks off, an unsolicited state may
	// come while a subscribe is pending.
	restarted := s.segment != nil && !s.segment.removed && (s.segment.at.Epoch != r.cursor.Epoch || s.breaksOff(r))
	oldest, before := s.pending[0], s.segment
	s.endSegment()
	s.segment = newSegment(r)
	expectation := s.takeSubscribe(r)
	if restarted {
		s.segment.conflate = s.segment.conflate || before.conflate
		oldest.maybeAnswered = true
		s.pending = append([]pendingSubscribe{oldest}, s.pending...)
		expectation.resumes, expectation.problem = expectation.resumes && expectation.problem == "", ""
		if expectation.notFound == forbidden {
			expectation.notFound = allowed
		}
	} else {
		s.evaluation.noteRead(s.log.shareData, knownPosition{oldest.at, r.cursor, s.log.server}, s.reporter())
	}
	if expectation.problem != "" {
		s.report(Resumable, "%s", expectation.problem)
	}
	if expectation.resumes {
		s.segment.resumeFrom(expectation.from)
	}
	s.segment.notFound, s.segment.why = expectation.notFound, expectation.why
}

// breaksOff reports whether a state may be the one that follows a replay which could not
// be completed.
func (s *stream) breaksOff(r *record) bool {
	g := s.segment
	return !g.caughtUp() && r.number == 0 && !r.resumed &&
		!s.evaluation.surelyKept(s.log.shareData, g.position(), r.cursor, s.sinceWhen(), r.at)
}

// unsolicitedState begins a segment with a snapshot that no subscribe asked for: a
// history did not continue, or a replay was aborted.
func (s *stream) unsolicitedState(r *record) {
	before := s.segment
	s.endSegment()
	s.segment = newSegment(r)
	s.segment.unsolicited = true
	s.segment.notFound, s.segment.why = required, "the state was not asked for"
	if before == nil || before.removed {
		s.report(NeverInterleaved, "no subscribe asked for this state")
		s.segment.notFound = allowed
		return
	}
	s.segment.conflate = before.conflate
	if r.patches != before.patches {
		s.report(InSync, "the subscription is one with patches: %t, and the state is not", before.patches)
	}
	from := before.position()
	if from.Epoch == r.cursor.Epoch && (from.Revision >= r.cursor.Revision || s.evaluation.surelyKept(s.log.shareData, from, r.cursor, s.sinceWhen(), r.at)) {
		s.report(Resumable, "a state was sent again though the history continues from %s", from)
	}
	if r.number > 0 || r.resumed {
		s.report(Resumable, "%s with a state that no subscribe asked for", r.announces())
	}
}

// expectation says what must follow a state.
type expectation struct {
	resumes  bool
	from     uint64
	notFound rule
	why      string
	// problem is what is wrong with the state itself; empty for nothing.
	problem string
}

// takeSubscribe removes the subscribe that the state answers from the pending ones.
// Where some were cancelled, or may be answered, it may be one of several.
func (s *stream) takeSubscribe(r *record) expectation {
	candidates := s.candidates()
	var chosen expectation
	fitting, last, patches := 0, 0, false
	for i := range candidates {
		s.segment.unsubscribed = s.segment.unsubscribed || s.pending[i].cancelled
		s.segment.conflate = s.segment.conflate || s.pending[i].conflate
		patches = patches || s.pending[i].patches == r.patches
		p := s.evaluation.expect(s.log.shareData, s.pending[i], r)
		switch {
		case fitting == 0:
			chosen = p
		case p.problem == "" && p.notFound != chosen.notFound:
			chosen.notFound = allowed // it may answer either
		}
		if p.problem == "" {
			fitting, last = fitting+1, i
		}
	}
	if !patches {
		s.report(InSync, "patches were asked for: %t, and a state has a stateHash exactly then", !r.patches)
	}
	if candidates > 1 && chosen.notFound == forbidden {
		chosen.notFound = allowed
	}
	if fitting == 1 {
		s.pending = s.pending[last+1:] // the subscribes before it are not answered any more
		return chosen
	}
	s.takeOldest(candidates)
	return chosen
}

// announces says what a state promises of what follows it.
func (r *record) announces() string {
	if r.resumed {
		return fmt.Sprintf("it is called resumed, with %d replayed frames,", r.number)
	}
	return fmt.Sprintf("%d replayed frames are announced", r.number)
}

// skip continues the segment after the entries that a state says were skipped.
func (s *stream) skip(r *record) {
	g := s.segment
	switch {
	case g == nil || g.removed:
		s.report(NeverInterleaved, "there is no subscription of which it could skip entries")
		s.segment = newSegment(r)
		return
	case r.cursor.Epoch != g.at.Epoch:
		s.report(Ordered, "it is of another epoch than the state before, %d", g.at.Epoch)
		return
	case !g.conflate:
		s.report(Once, "it skips entries, which the subscriber did not ask for")
	case !g.caughtUp() || r.number > 0 || r.resumed:
		s.report(NeverInterleaved, "it skips entries in the middle of a replay")
	case r.cursor.Revision <= g.live.last:
		s.report(Ordered, "it is a state from before revision %d, which came before", g.live.last)
	case r.cursor.Revision > g.live.last+r.skipped:
		s.report(Gapless, "only %d entries are said to be skipped after revision %d", r.skipped, g.live.last)
	case r.cursor.Revision < g.live.last+r.skipped:
		s.report(Once, "%d entries are said to be skipped after revision %d", r.skipped, g.live.last)
	case r.patches != g.patches:
		s.report(InSync, "the subscription is one with patches: %t, and the state is not", g.patches)
	}
	s.requireNotFound(r)
	s.notEarly(g.live.last + 1)
	g.anyLive = true
	g.state, g.stateAt = r.state, r.cursor.Revision
	g.live.skipTo(r.cursor.Revision)
}

// candidates returns how many pending subscribes may be the one that is answered
// next.
func (s *stream) candidates() int {
	n := 0
	for n < len(s.pending) {
		n++
		if p := s.pending[n-1]; !p.cancelled && !p.maybeAnswered {
			break
		}
	}
	return n
}

// takeOldest removes one of the candidates: which one was answered is not known.
func (s *stream) takeOldest(candidates int) {
	for i := range candidates {
		s.pending[i].maybeAnswered = true // a single one is removed below
	}
	s.pending = s.pending[1:]
}

// expect returns what must follow the state that answers a subscribe.
func (ev *evaluation) expect(shareData string, subscribe pendingSubscribe, r *record) expectation {
	since, announced := subscribe.text, ""
	if r.number > 0 || r.resumed {
		announced = r.announces() + " though "
	}
	notFound := func(why string) expectation {
		p := expectation{notFound: required, why: why}
		if announced != "" {
			p.problem = announced + why
		}
		return p
	}
	if since == "" {
		p := expectation{why: "no cursor was sent"}
		if announced != "" {
			p.problem = announced + p.why
		}
		return p
	}
	from, err := replay.ParseCursor(since)
	switch {
	case err != nil:
		return notFound(fmt.Sprintf("%.60q is not a cursor", since))
	case from.Epoch != r.cursor.Epoch:
		return notFound(fmt.Sprintf("%s is of another epoch", from))
	case from.Revision > r.cursor.Revision:
		return notFound(fmt.Sprintf("%s is in the future", from))
	}
	missed := r.cursor.Revision - from.Revision
	sure := ev.surelyKept(shareData, from, r.cursor, subscribe.at, r.at)
	p := expectation{resumes: true, from: from.Revision, notFound: allowed}
	if sure {
		p.notFound = forbidden
	}
	switch {
	case missed > uint64(ev.options.Window):
		return notFound(fmt.Sprintf("%s is %d entries old, and the window has %d", from, missed, ev.options.Window))
	case r.leftOut && (subscribe.includeState || !subscribe.hasState):
		p.problem = "the state is left out though the subscriber asked for it, or does not have it"
	case r.resumed && !subscribe.patches:
		p.problem = "it is called resumed though patches were not asked for"
	case r.counted && r.number == 0 && missed > 0:
		p = notFound("nothing is replayed from " + from.String())
		if sure {
			p.problem = fmt.Sprintf("nothing is replayed though %s is only %d entries old", from, missed)
		}
	case r.counted && r.number != missed:
		p.problem = fmt.Sprintf("%d replayed frames are announced where %d entries follow %s", r.number, missed, from)
	}
	return p
}

// notFound evaluates "cursor not found".
func (s *stream) notFound() {
	g := s.segment
	switch {
	case g == nil:
		s.report(Resumable, "it came before the state")
		return
	case g.removed:
		s.report(NeverInterleaved, "it came after the removal, which ends the subscription")
		return
	case g.notFoundSeen:
		s.report(Resumable, "it came twice")
		return
	case g.anyLive:
		s.report(Resumable, "it came after live frames")
	case g.resumes && g.counted && !g.caughtUp():
		g.aborted = true
	case g.resumes && g.anyReplayed:
		s.report(Resumable, "it came after the replay")
	case g.notFound == forbidden:
		why := "the cursor is inside the window"
		if g.why != "" {
			why = g.why
		}
		s.report(Resumable, "it came though %s", why)
	}
	g.notFoundSeen = true
	g.resumes = g.resumes && (g.aborted || g.anyReplayed)
}

// clientState begins a segment with the snapshot that a client delivered.
func (s *stream) clientState(r *record) {
	s.endSegment()
	s.pending = nil
	from, gap := s.before, s.gapReported
	s.gapReported = false
	s.segment = newSegment(r)
	continues := from.Epoch == r.cursor.Epoch && from.Revision <= r.cursor.Revision
	switch {
	case r.skipped > 0 && (!s.conflate || gap || r.resumed):
		s.report(Once, "it skips entries, which the consumer did not ask for or has as a gap or a replay")
	case r.skipped > 0 && (!continues || from.Revision+r.skipped != r.cursor.Revision):
		s.report(Gapless, "%d entries are said to be skipped after %s", r.skipped, from)
	case r.skipped > 0:
	case r.resumed && gap:
		s.report(Resumable, "it was called resumed after a gap")
	case r.resumed && from.IsZero():
		s.report(Resumable, "it was called resumed though there was nothing to resume from")
	case r.resumed && !continues:
		s.report(Resumable, "it was called resumed though it does not continue from %s", from)
	case r.resumed && r.cursor == from: // and so before the replayed events
		s.segment.at.Revision += r.number
		s.segment.live.last = s.segment.at.Revision
		s.segment.resumeFrom(from.Revision)
	case r.resumed:
		s.segment.resumeFrom(from.Revision)
	case from.IsZero():
	case !gap:
		s.report(Resumable, "neither a resumption nor a gap was reported after %s", from)
	case continues && s.evaluation.surelyKept(s.log.shareData, from, r.cursor, s.sinceWhen(), r.at):
		s.report(Resumable, "a gap was reported though %s was inside the window", from)
	}
}

// sinceWhen returns the last record before a gap. An unsolicited state, or one
// after a gap, was decided on after it.
func (s *stream) sinceWhen() uint64 {
	for i := s.index - 1; i >= 0; i-- {
		if s.log.records[i].kind != gap {
			return s.log.records[i].at
		}
	}
	return 0
}

// reporter returns report for later use, with the current record.
func (s *stream) reporter() func(Promise, string, ...any) {
	at := *s
	return at.report
}

package checker

import (
	"fmt"

	"github.com/safe-go/safe/replay"
)

// subscribed begins a subscription of a client, or adds a pending subscribe.
func (s *stream) subscribed(r *record) {
	if !s.log.client {
		s.pending = append(s.pending, pendingSubscribe{at: r.at, since: r.text})
		return
	}
	s.endSegment()
	s.gapReported = false
	// A cursor that does not parse is zero: nothing can be resumed from it.
	s.before, _ = replay.ParseCursor(r.text)
	s.pending = []pendingSubscribe{{at: r.at}}
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
	// Where a history did not continue, an unsolicited state may come while a
	// subscribe is pending.
	restarted := s.segment != nil && !s.segment.removed && s.segment.at.Epoch != r.cursor.Epoch
	oldest := s.pending[0]
	s.endSegment()
	s.segment = newSegment(r)
	s.segment.counted = r.counted
	expectation := s.takeSubscribe(r)
	if restarted {
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

// unsolicitedState begins a segment with a snapshot that no subscribe asked for: a
// history did not continue, or a replay was aborted.
func (s *stream) unsolicitedState(r *record) {
	before := s.segment
	s.endSegment()
	s.segment = newSegment(r)
	s.segment.counted, s.segment.unsolicited = r.counted, true
	s.segment.notFound, s.segment.why = required, "the state was not asked for"
	if before == nil || before.removed {
		s.report(NeverInterleaved, "no subscribe asked for this state")
		s.segment.notFound = allowed
		return
	}
	from := before.position()
	if from.Epoch == r.cursor.Epoch && (from.Revision >= r.cursor.Revision || s.evaluation.surelyKept(s.log.shareData, from, r.cursor, s.sinceWhen(), r.at)) {
		s.report(Resumable, "a state was sent again though the history continues from %s", from)
	}
	if r.number > 0 {
		s.report(Resumable, "%d replayed frames are announced with a state that no subscribe asked for", r.number)
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
	fitting, last := 0, 0
	for i := range candidates {
		s.segment.unsubscribed = s.segment.unsubscribed || s.pending[i].cancelled
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
	since, announced := subscribe.since, ""
	if r.number > 0 {
		announced = fmt.Sprintf("%d replayed frames are announced though ", r.number)
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
	case r.resumed && gap:
		s.report(Resumable, "it was called resumed after a gap")
	case r.resumed && from.IsZero():
		s.report(Resumable, "it was called resumed though there was nothing to resume from")
	case r.resumed && !continues:
		s.report(Resumable, "it was called resumed though it does not continue from %s", from)
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

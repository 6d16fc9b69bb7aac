package checker

import (
	"fmt"

	"github.com/safe-go/safe/replay"
)

func (s *stream) subscribed(r *record) {
	if !s.log.user {
		s.asks = append(s.asks, ask{at: r.at, since: r.text})
		return
	}
	s.endRound()
	s.gapTold = false
	// A cursor that cannot be read cannot be resumed from either.
	s.before, _ = replay.ParseCursor(r.text)
	s.asks = []ask{{at: r.at}}
}

func (s *stream) unsubscribed() {
	if s.round != nil {
		s.round.ending = true
	}
	for i := range s.asks {
		s.asks[i].cancelled = true
	}
	s.gapTold = false
}

// refused takes it that the oldest subscribe was refused. What becomes of a
// subscription that was there before is not known.
func (s *stream) refused() {
	if len(s.asks) == 0 {
		return
	}
	s.answerOldest(s.candidates())
	if s.round != nil {
		s.round.ending = true
	}
}

// state begins a round with the snapshot that answers a subscribe.
func (s *stream) state(r *record) {
	if len(s.asks) == 0 {
		s.unaskedState(r)
		return
	}
	// Where a history did not continue, a state that nobody asked for may come
	// just when somebody asks.
	broke := s.round != nil && !s.round.removed && s.round.at.Epoch != r.cursor.Epoch
	oldest := s.asks[0]
	s.endRound()
	s.round = newRound(r)
	s.round.counted = r.counted
	plan := s.choose(r)
	if broke {
		oldest.doubtful = true
		s.asks = append([]ask{oldest}, s.asks...)
		plan.resumes, plan.problem = plan.resumes && plan.problem == "", ""
		if plan.word == mustNotCome {
			plan.word = mayCome
		}
	} else {
		s.judge.question(s.log.shareData, sighting{oldest.at, r.cursor, s.log.server}, s.reporter())
	}
	if plan.problem != "" {
		s.report(Resumable, "%s", plan.problem)
	}
	if plan.resumes {
		s.round.expect(plan.from)
	}
	s.round.word, s.round.why = plan.word, plan.why
}

// unaskedState is how a server begins anew where a history did not continue or
// a replay could not be finished.
func (s *stream) unaskedState(r *record) {
	before := s.round
	s.endRound()
	s.round = newRound(r)
	s.round.counted, s.round.unasked = r.counted, true
	s.round.word, s.round.why = mustCome, "the state was not asked for"
	if before == nil || before.removed {
		s.report(NeverInterleaved, "nobody asked for this state")
		s.round.word = mayCome
		return
	}
	from := before.position()
	if from.Epoch == r.cursor.Epoch && (from.Revision >= r.cursor.Revision || s.judge.surelyKept(s.log.shareData, from, r.cursor, s.sinceWhen(), r.at)) {
		s.report(Resumable, "it was begun anew though the history continues from %s", from)
	}
	if r.number > 0 {
		s.report(Resumable, "%d replayed frames are announced with a state that nobody asked for", r.number)
	}
}

// plan is what a state ought to be followed by.
type plan struct {
	resumes bool
	from    uint64
	word    word
	why     string
	// problem is what is wrong with the state already; empty for nothing.
	problem string
}

// choose takes the subscribe that the state answers off the queue. Where some
// were cancelled, or may have been answered before, it may be one of several.
func (s *stream) choose(r *record) plan {
	candidates := s.candidates()
	var chosen plan
	fitting, last := 0, 0
	for i := range candidates {
		s.round.ending = s.round.ending || s.asks[i].cancelled
		p := s.judge.plan(s.log.shareData, s.asks[i], r)
		switch {
		case fitting == 0:
			chosen = p
		case p.problem == "" && p.word != chosen.word:
			chosen.word = mayCome // it may be the answer to either
		}
		if p.problem == "" {
			fitting, last = fitting+1, i
		}
	}
	if candidates > 1 && chosen.word == mustNotCome {
		chosen.word = mayCome
	}
	if fitting == 1 {
		s.asks = s.asks[last+1:] // what was asked before is not answered any more
		return chosen
	}
	s.answerOldest(candidates)
	return chosen
}

// candidates is how many of the subscribes may be the one that is answered next.
func (s *stream) candidates() int {
	n := 0
	for n < len(s.asks) {
		n++
		if a := s.asks[n-1]; !a.cancelled && !a.doubtful {
			break
		}
	}
	return n
}

// answerOldest takes it that one of so many subscribes was answered.
func (s *stream) answerOldest(candidates int) {
	for i := range candidates {
		s.asks[i].doubtful = true // unless there is only one, which is taken off
	}
	s.asks = s.asks[1:]
}

// plan says what must follow the state that answers a subscribe.
func (j *judge) plan(shareData string, a ask, r *record) plan {
	since, announced := a.since, ""
	if r.number > 0 {
		announced = fmt.Sprintf("%d replayed frames are announced though ", r.number)
	}
	tell := func(why string) plan {
		p := plan{word: mustCome, why: why}
		if announced != "" {
			p.problem = announced + why
		}
		return p
	}
	if since == "" {
		p := plan{why: "no cursor was sent along"}
		if announced != "" {
			p.problem = announced + p.why
		}
		return p
	}
	from, err := replay.ParseCursor(since)
	switch {
	case err != nil:
		return tell(fmt.Sprintf("%.60q is no cursor", since))
	case from.Epoch != r.cursor.Epoch:
		return tell(fmt.Sprintf("%s is of another epoch", from))
	case from.Revision > r.cursor.Revision:
		return tell(fmt.Sprintf("%s is in the future", from))
	}
	missed := r.cursor.Revision - from.Revision
	sure := j.surelyKept(shareData, from, r.cursor, a.at, r.at)
	p := plan{resumes: true, from: from.Revision, word: mayCome}
	if sure {
		p.word = mustNotCome
	}
	switch {
	case missed > uint64(j.options.Window):
		return tell(fmt.Sprintf("%s is %d entries old, and the window has %d", from, missed, j.options.Window))
	case r.counted && r.number == 0 && missed > 0:
		p = tell("nothing is replayed from " + from.String())
		if sure {
			p.problem = fmt.Sprintf("nothing is replayed though %s is only %d entries old", from, missed)
		}
	case r.counted && r.number != missed:
		p.problem = fmt.Sprintf("%d replayed frames are announced where %d entries follow %s", r.number, missed, from)
	}
	return p
}

// notFound judges the word that the cursor was not found.
func (s *stream) notFound() {
	rd := s.round
	switch {
	case rd == nil:
		s.report(Resumable, "it was told before the state")
		return
	case rd.removed:
		s.report(NeverInterleaved, "it came after the removal, which ends the subscription")
		return
	case rd.told:
		s.report(Resumable, "it was told twice")
		return
	case rd.anyLive:
		s.report(Resumable, "it was told only after live frames")
	case rd.resumes && rd.counted && !rd.caughtUp():
		rd.brokenOff = true
	case rd.resumes && rd.anyReplayed:
		s.report(Resumable, "it was told after the replay")
	case rd.word == mustNotCome:
		why := "the cursor is inside the window"
		if rd.why != "" {
			why = rd.why
		}
		s.report(Resumable, "it was told though %s", why)
	}
	rd.told = true
	rd.resumes = rd.resumes && (rd.brokenOff || rd.anyReplayed)
}

// userState begins a round with the snapshot that a user was given.
func (s *stream) userState(r *record) {
	s.endRound()
	s.asks = nil
	from, told := s.before, s.gapTold
	s.gapTold = false
	s.round = newRound(r)
	continues := from.Epoch == r.cursor.Epoch && from.Revision <= r.cursor.Revision
	switch {
	case r.resumed && told:
		s.report(Resumable, "it was called resumed after a gap")
	case r.resumed && from.IsZero():
		s.report(Resumable, "it was called resumed though there was nothing to resume from")
	case r.resumed && !continues:
		s.report(Resumable, "it was called resumed though it does not continue from %s", from)
	case r.resumed:
		s.round.expect(from.Revision)
	case from.IsZero():
	case !told:
		s.report(Resumable, "neither a resumption nor a gap was told after %s", from)
	case continues && s.judge.surelyKept(s.log.shareData, from, r.cursor, s.sinceWhen(), r.at):
		s.report(Resumable, "a gap was told though %s was inside the window", from)
	}
}

// sinceWhen is a record before which a state that nobody asked for, or that a
// user was given after a gap, was not decided on: the last one before the gap.
func (s *stream) sinceWhen() uint64 {
	for i := s.index - 1; i >= 0; i-- {
		if s.log.records[i].kind != gap {
			return s.log.records[i].at
		}
	}
	return 0
}

// reporter is report for later, at the current record.
func (s *stream) reporter() func(Promise, string, ...any) {
	at := *s
	return at.report
}

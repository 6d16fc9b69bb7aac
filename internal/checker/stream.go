package checker

import (
	"fmt"
	"strings"

	"github.com/safe-go/safe/replay"
)

// stream judges what one subscriber recorded, record by record.
type stream struct {
	judge *judge
	log   *log
	index int // of the record under judgement

	// round is nil before the first state and after a disconnect.
	round *round
	// asks are the subscribes without an answer, oldest first.
	asks []ask
	// before is where the last round ended; zero where there is nothing to
	// continue from. gapTold says that a user was told of a gap since.
	before  replay.Cursor
	gapTold bool
}

// ask is a subscribe. One that was cancelled by an unsubscribe may be answered
// or not; a doubtful one may have been answered.
type ask struct {
	at                  uint64
	since               string
	cancelled, doubtful bool
}

// report is a violation at the current record.
func (s *stream) report(promise Promise, format string, values ...any) {
	s.judge.report(Violation{
		Promise: promise, ShareData: s.log.shareData, Subscriber: s.log.name,
		Where: s.where(s.index), Explanation: fmt.Sprintf(format, values...),
	})
}

// where names a record and what came before it.
func (s *stream) where(index int) string {
	var before []string
	for i := max(0, index-3); i < index; i++ {
		before = append(before, s.log.records[i].String())
	}
	text := fmt.Sprintf("record %d (%s)", index+1, s.log.records[index].String())
	if len(before) > 0 {
		text += " after (" + strings.Join(before, "; ") + ")"
	}
	return text
}

func (s *stream) judgeAll() {
	for i := range s.log.records {
		s.index = i
		r := &s.log.records[i]
		switch r.kind {
		case state:
			if s.log.user {
				s.userState(r)
			} else {
				s.state(r)
			}
			s.compareState(r)
		case transaction, updated, removed:
			s.frame(r)
		case unreadable:
			s.report(Ordered, "the frame cannot be placed: %s", r.text)
		case subscribed:
			s.subscribed(r)
		case notFound:
			s.notFound()
		case gap:
			s.endRound()
			s.gapTold = true
		case result:
			s.result(r)
		case refused:
			s.refused()
		case unsubscribed:
			s.unsubscribed()
		case disconnected:
			s.endRound()
			s.asks = nil
		}
	}
	s.finish()
}

// known holds a frame against the history and notes that its position is known
// from here on.
func (s *stream) known(r *record) {
	if s.judge.claimed(s.log.shareData, r.cursor, r.claim(), s.report) {
		s.judge.sight(s.log.shareData, s.log.name, sighting{r.at, r.cursor, s.log.server})
	}
}

// endRound judges a round by what can no longer come.
func (s *stream) endRound() {
	if s.round == nil {
		return
	}
	if missing := s.round.missing(); len(missing) > 0 {
		s.report(Gapless, "by now revision %s of epoch %d has not come, though later ones have", list(missing), s.round.at.Epoch)
	}
	s.before = s.round.position()
	if s.round.removed {
		s.before = replay.Cursor{}
	}
	s.round = nil
}

// finish judges what is left open at the end of the recording.
func (s *stream) finish() {
	if len(s.log.records) == 0 {
		return
	}
	s.index = len(s.log.records) - 1
	if s.judge.options.Complete {
		s.complete()
	}
	s.endRound()
}

// complete demands that a subscription that is alive has come to the end.
func (s *stream) complete() {
	for _, a := range s.asks {
		if !a.cancelled && !a.doubtful {
			s.report(Complete, "the last subscribe was not answered")
			return
		}
	}
	r := s.round
	switch {
	case s.gapTold:
		s.report(Complete, "no state followed the gap")
		return
	case r == nil || r.ending || r.removed:
		return
	case r.word == mustCome && !r.told:
		s.report(Resumable, "it was never told that the cursor was not found: %s", r.why)
	}
	head, known := s.judge.head(s.log.shareData)
	switch at := r.position(); {
	case !known:
		s.report(Complete, "no history of %q was recorded, so it is not known where it ends", s.log.shareData)
	case at != head:
		s.report(Complete, "it got to %s, and the history to %s", at, head)
	}
}

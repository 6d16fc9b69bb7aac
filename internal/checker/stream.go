package checker

import (
	"fmt"
	"strings"

	"github.com/safe-go/safe/replay"
)

// stream evaluates what one subscriber recorded, record by record.
type stream struct {
	evaluation *evaluation
	log        *log
	index      int // of the current record

	// segment is nil before the first state and after a disconnect.
	segment *segment
	// pending are the subscribes that no state or refusal has answered yet, oldest
	// first.
	pending []pendingSubscribe
	// before is the end of the last segment; zero where there is nothing to resume
	// from. gapReported says that a client reported a gap since.
	before      replay.Cursor
	gapReported bool
	// conflate says that a client asked for that.
	conflate bool
}

// pendingSubscribe is the record of a subscribe. One that was
// cancelled by an unsubscribe may be answered or not; one that is maybeAnswered
// was answered by a state before, or will be by the next.
type pendingSubscribe struct {
	*record
	cancelled, maybeAnswered bool
}

// report reports a violation at the current record.
func (s *stream) report(promise Promise, format string, values ...any) {
	s.evaluation.report(Violation{
		Promise: promise, ShareData: s.log.shareData, Subscriber: s.log.name,
		Where: s.where(s.index), Explanation: fmt.Sprintf(format, values...),
	})
}

// where describes a record and up to three before it.
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

// evaluate evaluates all records.
func (s *stream) evaluate() {
	for i := range s.log.records {
		s.index = i
		r := &s.log.records[i]
		if r.problem != "" {
			s.report(InSync, "%s", r.problem)
		}
		switch r.kind {
		case state:
			switch {
			case s.log.client:
				s.clientState(r)
			case r.skipped > 0:
				s.skip(r)
			default:
				s.state(r)
			}
			s.compareState(r)
		case transaction, updated, removed:
			s.frame(r)
		case unreadable:
			s.report(Ordered, "the frame has no valid position: %s", r.text)
		case subscribed:
			s.subscribed(r)
		case notFound:
			s.notFound()
		case gap:
			s.endSegment()
			s.gapReported = true
		case result:
			s.result(r)
		case refused:
			s.refused()
		case unsubscribed:
			s.unsubscribed()
		case disconnected:
			s.endSegment()
			s.pending = nil
		}
	}
	s.finish()
}

// compare compares a frame with the history, and notes that its position was
// received.
func (s *stream) compare(r *record) {
	if s.evaluation.compareWithHistory(s.log.shareData, r.cursor, r.assertion(), s.report) {
		s.evaluation.noteKnown(s.log.shareData, s.log.name, knownPosition{r.at, r.cursor, s.log.server})
	}
}

// endSegment reports the revisions that are missing from the segment.
func (s *stream) endSegment() {
	if s.segment == nil {
		return
	}
	if missing := s.segment.missing(); len(missing) > 0 {
		s.report(Gapless, "revision %s of epoch %d did not come although later ones did", list(missing), s.segment.at.Epoch)
	}
	s.before = s.segment.position()
	if s.segment.removed {
		s.before = replay.Cursor{}
	}
	s.segment = nil
}

// finish evaluates the end of the recording.
func (s *stream) finish() {
	if len(s.log.records) == 0 {
		return
	}
	s.index = len(s.log.records) - 1
	if s.evaluation.options.Complete {
		s.complete()
	}
	s.endSegment()
}

// complete demands that a subscription that has not ended is current.
func (s *stream) complete() {
	for _, p := range s.pending {
		if !p.cancelled && !p.maybeAnswered {
			s.report(Complete, "the last subscribe has no answer")
			return
		}
	}
	g := s.segment
	switch {
	case s.gapReported:
		s.report(Complete, "no state followed the gap")
		return
	case g == nil || g.unsubscribed || g.removed:
		return
	case g.notFound == required && !g.notFoundSeen:
		s.report(Resumable, "\"cursor not found\" never came: %s", g.why)
	}
	head, known := s.evaluation.head(s.log.shareData)
	switch at := g.position(); {
	case !known:
		s.report(Complete, "no history of %q was recorded, so its end is not known", s.log.shareData)
	case at != head:
		s.report(Complete, "it is at %s, and the history ends at %s", at, head)
	}
}

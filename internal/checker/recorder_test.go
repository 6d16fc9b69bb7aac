package checker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func eventsOf(t *simShareData, i int) []sharedata.Event {
	return []sharedata.Event{{Entry: t.entries[i], State: t.states[i]}}
}

func TestRecorder_Concurrent(t *testing.T) {
	const writers, frames = 8, 300
	rec := checker.NewRecorder()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			id := fmt.Sprint("x", w%2)
			s, u := rec.Subscriber(fmt.Sprint(w), id), rec.Client(fmt.Sprint(w), id)
			first := &wire.State{ShareDataID: id, CurrentState: stateAt("1-1"), Cursor: "1-1"}
			s.Subscribed("")
			s.Frame(first)
			u.State(first, false)
			for n := range frames {
				cursor := cursorText(1, uint64(n+2))
				f := &wire.Transaction{ShareDataID: id, TransactionID: cursor, Accepted: true, CurrentState: stateAt(cursor)}
				s.Frame(f)
				u.Frame(f)
				if w < 2 {
					p := rec.Proposed(checker.Proposal{Proposer: fmt.Sprint(w), ShareData: "y" + id})
					p.Answered(checker.Answer{Accepted: true, TransactionID: cursor})
				}
				if n%100 == 0 {
					rec.Check(checker.Options{})
					_ = rec.Summary().String()
				}
			}
		})
	}
	wg.Wait()
	if v := rec.Check(checker.Options{}); len(v) > 0 {
		t.Error(v)
	}
	s := rec.Summary()
	if s.Live != 2*writers*frames || s.Accepted != 2*frames || s.States != 2*writers {
		t.Errorf("recorded %v", s)
	}
	if n := len(rec.Operations("yx0")); n != frames {
		t.Errorf("%d operations on yx0, want %d", n, frames)
	}
}

func TestSubscriber_OtherFrames(t *testing.T) {
	rec := checker.NewRecorder()
	s := rec.Subscriber("s", "x")
	for _, f := range []wire.ServerMessage{
		&wire.State{ShareDataID: "y", CurrentState: json.RawMessage("1"), Cursor: "1-1"},
		&wire.Transaction{ShareDataID: "y"},
		&wire.Lifecycle{ShareDataID: "y", Event: wire.EventRemoved},
		&wire.Error{ShareDataID: "y", Code: codes.ReplayCursorNotFound},
		&wire.Error{Code: codes.InvalidMessage},
		&wire.Pong{}, &wire.ProposalResult{},
	} {
		s.Frame(f)
	}
	if v := rec.Check(checker.Options{}); len(v) > 0 {
		t.Error(v)
	}
	if s := rec.Summary(); s != (checker.Summary{}) {
		t.Errorf("recorded %v", s)
	}
}

func TestViolations_Report(t *testing.T) {
	rec := checker.NewRecorder()
	s := rec.Subscriber("subscriber", "x")
	subscriberSteps(s, "subscribe; state 1-1; 1-2; 1-4")
	for range 3 * checker.MaxPerPromise {
		subscriberSteps(s, "1-4")
	}
	v := rec.Check(checker.Options{})
	if n := len(v.Of(checker.Once)); n != checker.MaxPerPromise {
		t.Errorf("%d violations are listed, want %d", n, checker.MaxPerPromise)
	}
	text := v.String()
	for _, want := range []string{
		"gapless:\n\t\"x\" of subscriber at record ", "once:\n", "record 5 (transaction 1-4 accepted) after (state 1-1; transaction 1-2 accepted; transaction 1-4 accepted): revision 4 came again",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%.600s", want, text)
		}
	}
	if strings.Index(text, "gapless:") > strings.Index(text, "once:") {
		t.Error("the promises are not in their order")
	}
	if got := (checker.Violations{}).String(); got != "no promise was broken" {
		t.Errorf("an empty report says %q", got)
	}
}

package checker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// subscriberSteps records what a subscriber sends and receives:
//
//	subscribe [CURSOR]   unsubscribe   refused   lost   notfound
//	state CURSOR [N]     a state that announces N replayed frames; -: no number
//	last CURSOR [N]      a state at the newest transaction
//	~CURSOR              a replayed transaction
//	CURSOR               a live one
//	!CURSOR              a live one that is rejected and changes the state
//	removed [CURSOR]
func subscriberSteps(s *checker.Subscriber, steps string) {
	for text := range strings.SplitSeq(steps, ";") {
		words := append(strings.Fields(text), "")
		switch word, rest := words[0], words[1]; word {
		case "subscribe":
			s.Subscribed(rest)
		case "unsubscribe":
			s.Unsubscribed()
		case "refused":
			s.Frame(&wire.Error{Code: codes.UnauthorizedSubscribe, ShareDataID: "x"})
		case "lost":
			s.Disconnected(0)
		case "notfound":
			s.Frame(&wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: "x"})
		case "state", "last":
			f := &wire.State{ShareDataID: "x", CurrentState: stateAt(rest), Cursor: rest, HasReplaying: words[2] != "-"}
			if word == "last" {
				f.LastTransactionID = rest
			}
			if words[2] != "" {
				_, _ = fmt.Sscan(words[2], &f.Replaying)
			}
			s.Frame(f)
		case "removed":
			s.Frame(&wire.Lifecycle{ShareDataID: "x", Event: wire.EventRemoved, Cursor: rest})
		default:
			cursor, replayed := strings.CutPrefix(word, "~")
			cursor, rejected := strings.CutPrefix(cursor, "!")
			f := &wire.Transaction{ShareDataID: "x", TransactionID: cursor, Accepted: !rejected, Replayed: replayed}
			if !replayed {
				f.CurrentState = stateAt(cursor)
			}
			s.Frame(f)
		}
	}
}

func stateAt(cursor string) json.RawMessage { return fmt.Appendf(nil, "%q", cursor) }

// broken returns the promises that were broken, each once.
func broken(v checker.Violations) []checker.Promise {
	var promises []checker.Promise
	for _, violation := range v {
		if !slices.Contains(promises, violation.Promise) {
			promises = append(promises, violation.Promise)
		}
	}
	return promises
}

func TestSubscriber_Streams(t *testing.T) {
	var kept []checker.Promise
	just := func(p ...checker.Promise) []checker.Promise { return p }
	faulty := checker.Options{Retention: -1}
	for _, test := range []struct {
		name, steps string
		options     checker.Options
		want        []checker.Promise
	}{
		{"a cut in the middle of a replay", "subscribe 1-3; state 1-9 6; ~1-4; lost; subscribe 1-4; state 1-9 5; ~1-5", checker.Options{}, kept},
		{"a cut before \"cursor not found\"", "subscribe 2-3; state 1-9 0; lost", checker.Options{}, kept},
		{"frames under way after an unsubscribe", "subscribe; state 1-3; unsubscribe; 1-4; subscribe 1-3; 1-5; state 1-5 2; ~1-4; ~1-5", checker.Options{}, kept},
		{"an unsubscribe that overtakes the subscribe", "subscribe; unsubscribe; subscribe 1-3; state 1-4 1; ~1-4; 1-5", checker.Options{}, kept},
		{"an unsubscribe that does not overtake the subscribe", "subscribe; unsubscribe; subscribe 1-3; state 1-4; 1-5; state 1-5 2; ~1-4; ~1-5", checker.Options{}, kept},
		{"a subscribe that was refused", "subscribe 1-1; refused; subscribe; state 1-4; 1-5", checker.Options{}, kept},
		{"a removal that names no position", "subscribe; state 1-3; 1-4; removed", checker.Options{}, kept},
		{"a subscribe after a removal", "subscribe; state 1-3; removed 1-4; subscribe 1-3; state 2-1; notfound; 2-2", checker.Options{}, kept},
		{"the position before the first entry is not found", "subscribe 1-0; state 1-3; notfound; 1-4", checker.Options{}, kept},
		{"the position before the first entry is resumed", "subscribe 1-0; state 1-3 3; ~1-1; ~1-2; ~1-3; 1-4", checker.Options{}, kept},
		{"the edge of the window", "subscribe 1-1; state 1-4 3; ~1-2; ~1-3; ~1-4", checker.Options{Window: 3}, kept},
		{"beyond the window", "subscribe 1-1; state 1-5 4; ~1-2; ~1-3; ~1-4; ~1-5", checker.Options{Window: 3}, just(checker.Resumable)},
		{"the edge of the default window", "subscribe 1-1; state 1-102; notfound", checker.Options{}, kept},
		{"inside the default window", "subscribe 1-1; state 1-101; notfound", checker.Options{}, just(checker.Resumable)},
		{"no window, and something missed", "subscribe 1-3; state 1-4; notfound; 1-5", checker.Options{Window: -1}, kept},
		{"no window, and nothing missed", "subscribe 1-4; state 1-4; notfound; 1-5", checker.Options{Window: -1}, just(checker.Resumable)},
		{"no window, and a replay", "subscribe 1-3; state 1-4 1; ~1-4", checker.Options{Window: -1}, just(checker.Resumable)},
		{"the store may have dropped it", "subscribe 1-3; state 1-9; notfound; 1-10", checker.Options{Retention: 5}, kept},
		{"the store may have it all the same", "subscribe 1-3; state 1-6 3; ~1-4; ~1-5; ~1-6", checker.Options{Retention: 2}, kept},
		{"the store has it for certain", "subscribe 1-3; state 1-8; notfound; 1-9", checker.Options{Retention: 5}, just(checker.Resumable)},
		{"the store fails", "subscribe 1-3; state 1-4; notfound; 1-5", faulty, kept},
		{"the store fails, and \"cursor not found\" is missing", "subscribe 1-3; state 1-4; 1-5", faulty, just(checker.Resumable)},
		{"the store fails, and a part is announced as complete", "subscribe 1-3; state 1-6 2; ~1-4; ~1-5; 1-7", faulty, just(checker.Gapless, checker.Resumable)},
		{"a replay that breaks off", "subscribe 1-3; state 1-6 3; ~1-4; state 1-7; notfound; 1-8", faulty, kept},
		{"a replay that breaks off for no reason", "subscribe 1-3; state 1-6 3; ~1-4; state 1-7; notfound; 1-8", checker.Options{}, just(checker.Resumable)},
		{"a replay that breaks off while a subscribe was pending", "subscribe 1-3; state 1-6 3; ~1-4; subscribe 1-3; state 1-6; notfound; state 1-6 3; ~1-4; ~1-5; ~1-6; 1-7", faulty, kept},
		{"a replay that breaks off for no reason while a subscribe was pending", "subscribe 1-3; state 1-6 3; ~1-4; subscribe 1-3; state 1-6; notfound; state 1-6 3; ~1-4; ~1-5; ~1-6", checker.Options{}, just(checker.Resumable)},
		{"a replay that is ended by another subscribe", "subscribe 1-3; state 1-6 3; ~1-4; subscribe; state 1-6; 1-7; 1-8", faulty, kept},
		{"a replay that breaks off without a report", "subscribe 1-3; state 1-6 3; ~1-4; state 1-7; 1-8", faulty, just(checker.NeverInterleaved)},
		{"a replay that breaks off at a removal", "subscribe 1-3; state 1-6 3; ~1-4; notfound; removed", checker.Options{}, kept},
		{"a replay that breaks off before live frames", "subscribe 1-3; state 1-6 3; ~1-4; notfound; 1-7", checker.Options{}, just(checker.Gapless, checker.Resumable)},
		{"a replay that goes on after it broke off", "subscribe 1-3; state 1-6 3; ~1-4; notfound; ~1-5", checker.Options{}, just(checker.Resumable)},
		{"a history that did not continue", "subscribe; state 1-3; 1-4; state 2-2; notfound; 2-3", checker.Options{}, kept},
		{"a history that did not continue, while a subscribe was pending", "subscribe; state 1-3; 1-4; subscribe 1-4; state 2-1; notfound; state 2-1; notfound; 2-2", checker.Options{}, kept},
		{"a history that did not continue, while a subscribe without a cursor was pending", "subscribe; state 1-3; 1-4; subscribe; state 2-1; notfound; state 2-2; 2-3", checker.Options{}, kept},
		{"a history that did not continue, while subscribes were pending", "subscribe; state 1-9; subscribe 1-9; state 2-1; notfound; 2-2; 2-3; subscribe 2-3; state 2-3; notfound; 2-4; 2-5; 2-6; subscribe 2-6; state 2-6 3; ~2-4; ~2-5; ~2-6; state 2-6; 2-7", checker.Options{}, kept},
		{"a history that did not continue, and an unsolicited replay", "subscribe; state 1-9; subscribe 1-9; state 2-1; notfound; 2-2; 2-3; subscribe 2-3; state 2-3 2; ~2-2; ~2-3", checker.Options{}, just(checker.Once, checker.Resumable)},
		{"a history that did not continue, while a subscribe with its cursor was pending", "subscribe; state 1-3; subscribe 2-1; state 2-4; notfound; state 2-4 3; ~2-2; ~2-3; ~2-4; 2-5", checker.Options{}, kept},
		{"a history that did not continue, and one answer too many", "subscribe; state 1-3; subscribe 1-3; state 2-1; notfound; 2-2; 2-3; subscribe 2-2; state 2-3 1; ~2-3; state 2-3 1", checker.Options{}, just(checker.Resumable)},
		{"a history that did not continue, and a refusal", "subscribe; state 1-3; subscribe 1-3; state 2-1; notfound; subscribe 2-1; refused; state 2-4 3; ~2-2; ~2-3; ~2-4; 2-5", checker.Options{}, kept},
		{"a history that did not continue, and two answers to one subscribe", "subscribe; state 1-3; subscribe; state 2-1; notfound; state 2-1; state 2-1", checker.Options{}, just(checker.Resumable)},
		{"a history that did not continue, and an answer without \"cursor not found\"", "subscribe; state 1-3; subscribe 1-3; state 2-1; notfound; state 2-1; 2-2", checker.Options{}, just(checker.Resumable)},
		{"two answers to one subscribe", "subscribe 1-4; state 2-1; notfound; state 2-1; notfound", checker.Options{}, just(checker.Resumable)},
		{"a history that did not continue, without a report", "subscribe; state 1-3; 1-4; state 2-2; 2-3", checker.Options{}, just(checker.NeverInterleaved)},
		{"a history that did not continue, and did", "subscribe; state 1-3; 1-4; state 1-5; notfound; 1-6", checker.Options{}, just(checker.Resumable)},
		{"a history that went backwards", "subscribe; state 1-3; 1-4; state 1-2; notfound", faulty, just(checker.Resumable)},
		{"a new state and a replay", "subscribe; state 1-3; 1-4; state 2-2 1; notfound; 2-3", checker.Options{}, just(checker.Resumable)},
		{"a state before any subscribe", "state 1-3; 1-4", checker.Options{}, just(checker.NeverInterleaved)},
		{"a frame before any state", "subscribe; 1-4; state 1-4", checker.Options{}, just(checker.NeverInterleaved)},
		{"a frame on a connection that is gone", "subscribe; state 1-3; lost; 1-4", checker.Options{}, just(checker.NeverInterleaved)},
		{"not found before the state", "subscribe 2-1; notfound; state 1-3", checker.Options{}, just(checker.Resumable)},
		{"not found, twice", "subscribe 2-1; state 1-3; notfound; notfound", checker.Options{}, just(checker.Resumable)},
		{"not found, after the replay", "subscribe 1-2; state 1-3 1; ~1-3; notfound", checker.Options{}, just(checker.Resumable)},
		{"not found, after the removal", "subscribe 2-1; state 1-3; notfound; removed 1-4; notfound", checker.Options{}, just(checker.NeverInterleaved)},
		{"a removal after a hole", "subscribe; state 1-3; removed 1-5", checker.Options{}, just(checker.Gapless)},
		{"a hole that is filled late", "subscribe; state 1-3; 1-7; 1-5; 1-4; 1-6", checker.Options{}, just(checker.Ordered)},
		{"a hole that is filled in part", "subscribe; state 1-3; 1-7; 1-5", checker.Options{}, just(checker.Ordered, checker.Gapless)},
		{"a replay beyond the state", "subscribe 1-2; state 1-3 1; ~1-3; ~1-4", checker.Options{}, just(checker.NeverInterleaved)},
		{"a replay of another epoch", "subscribe 1-2; state 1-3 1; ~2-3", checker.Options{}, just(checker.Resumable)},
		{"a replay to a cursor of another epoch", "subscribe 2-3; state 1-9 3; notfound", checker.Options{}, just(checker.Resumable)},
		{"not found, after live frames", "subscribe 1-3; state 1-6 3; ~1-4; ~1-5; ~1-6; 1-7; notfound", faulty, just(checker.Resumable)},
		{"a rejection that changes the state", "subscribe; state 1-3; !1-4", checker.Options{}, just(checker.CommittedBeforeSeen)},
		{"a server that does not count: whole", "subscribe 1-2; state 1-4 -; ~1-3; ~1-4; 1-5", checker.Options{}, kept},
		{"a server that does not count: not found", "subscribe 1-2; state 1-4 -; notfound; 1-5", faulty, kept},
		{"a server that does not count: silence", "subscribe 1-2; state 1-4 -; 1-5", checker.Options{}, just(checker.Resumable)},
		{"a server that does not count: a part", "subscribe 1-2; state 1-4 -; ~1-3; 1-5", checker.Options{}, just(checker.Gapless)},
		{"a frame without a position", "subscribe; state 1-3; nowhere", checker.Options{}, just(checker.Ordered)},
		{"a frame of a position that no entry has", "subscribe; state 1-3; 1-0", checker.Options{}, just(checker.Ordered)},
		{"no history to be complete with", "subscribe; state 1-3", checker.Options{Complete: true}, just(checker.Complete)},
		{"no live subscription", "subscribe; state 1-3; unsubscribe", checker.Options{Complete: true}, kept},
		{"\"cursor not found\" never came", "subscribe 2-3; state 1-3; unsubscribe; subscribe 1-3; state 1-3; unsubscribe", checker.Options{Complete: true}, kept},
		{"an epoch that was lost", "subscribe; state 1-3; lost; subscribe 1-3; state 2-1; notfound; removed 2-2", checker.Options{Durable: true}, just(checker.CommittedBeforeSeen)},
		{"an epoch that was removed", "subscribe; state 1-3; removed 1-4; subscribe; state 2-1; removed", checker.Options{Durable: true}, kept},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			subscriberSteps(rec.Subscriber("s", "x"), test.steps)
			v := rec.Check(test.options)
			if got := broken(v); !slices.Equal(got, test.want) {
				t.Errorf("%s\nbroken: %q, want %q\n%v", test.steps, got, test.want, v)
			}
		})
	}
}

func TestInterleavedReplay_OneReport(t *testing.T) {
	rec := checker.NewRecorder()
	subscriberSteps(rec.Subscriber("s", "x"), "subscribe 1-3; state 1-6 3; ~1-4; 1-7; ~1-5; ~1-6; 1-8")
	if v := rec.Check(checker.Options{}); len(v) != 1 || v[0].Promise != checker.NeverInterleaved {
		t.Errorf("got %v", v)
	}
}

func TestComplete(t *testing.T) {
	for steps, want := range map[string][]checker.Promise{
		"subscribe 2-3; state 1-3; notfound":       nil,
		"subscribe 2-3; state 1-3":                 {checker.Resumable},
		"subscribe 1-1; state 1-3 2; ~1-2":         {checker.Complete},
		"subscribe 1-1; state 1-3 2; ~1-2; ~1-3":   nil,
		"subscribe 1-1; state 1-2 1; ~1-2":         {checker.Complete},
		"subscribe; state 1-2; 1-3; subscribe":     {checker.Complete},
		"subscribe; state 1-2; 1-3; unsubscribe":   nil,
		"subscribe; state 1-2; subscribe; refused": nil,
	} {
		rec := checker.NewRecorder()
		rec.History(history(1, 3, unchanged))
		s := rec.Subscriber("s", "x")
		s.Unsubscribed() // without a subscription
		subscriberSteps(s, strings.ReplaceAll(steps, "state 1-", "last 1-"))
		if v := rec.Check(checker.Options{Complete: true}); !slices.Equal(broken(v), want) {
			t.Errorf("%s\nbroken: %q, want %q\n%v", steps, broken(v), want, v)
		}
	}
}

func TestDurable_Removing(t *testing.T) {
	rec := checker.NewRecorder()
	rec.Removing("x")
	subscriberSteps(rec.Subscriber("s", "x"), "subscribe; state 1-3; lost")
	if v := rec.Check(checker.Options{Durable: true}); len(v) > 0 {
		t.Error(v)
	}
	subscriberSteps(rec.Subscriber("s", "x"), "subscribe; state 2-3; lost")
	if v := rec.Check(checker.Options{Durable: true}).Of(checker.CommittedBeforeSeen); len(v) != 2 {
		t.Errorf("one removal explains two lost epochs: %v", v)
	}
}

func TestObserve_Reset(t *testing.T) {
	w := newSimulation(2)
	w.run(400)
	simShareData := w.shareData[0]
	head := simShareData.head()
	rec := checker.NewRecorder()
	s := rec.Subscriber("s", simShareData.id)
	last := ""
	for i, e := range simShareData.entries {
		if e.Type == sharedata.EntryTransaction {
			last = e.Cursor.String()
		}
		switch {
		case i < 3 || i > 6:
			rec.Observe(eventsOf(simShareData, i))
		case i == 6:
			events := eventsOf(simShareData, i)
			events[0].Reset, events[0].Type = true, ""
			rec.Observe(events)
		}
		if i > 0 && i < 7 {
			s.Subscribed("")
			s.Frame(&wire.State{ShareDataID: simShareData.id, CurrentState: simShareData.states[i], Cursor: e.Cursor.String(), LastTransactionID: last})
			s.Disconnected(0)
		}
	}
	if v := rec.Check(checker.Options{}); len(v) > 0 {
		t.Errorf("entries that observers were not notified of are called uncommitted: %v", v)
	}
	s.Subscribed("")
	at := replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.Revision() + 1}
	s.Frame(&wire.State{ShareDataID: simShareData.id, CurrentState: simShareData.state(), Cursor: at.String()})
	if v := rec.Check(checker.Options{}); len(v.Of(checker.CommittedBeforeSeen)) != 1 {
		t.Errorf("a state from beyond the history is not found: %v", v)
	}
}

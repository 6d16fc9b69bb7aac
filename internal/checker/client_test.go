package checker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/sharedata"
)

// clientSteps records what a client delivers, as subscriberSteps, and
//
//	resumed CURSOR   a state that was called resumed
//	gap   closed
func clientSteps(u *checker.Client, steps string) {
	for text := range strings.SplitSeq(steps, ";") {
		words := append(strings.Fields(text), "")
		switch word, rest := words[0], words[1]; word {
		case "subscribe":
			u.Subscribed(rest)
		case "gap":
			u.Gap()
		case "closed":
			u.Closed()
		case "state", "resumed":
			u.State(&wire.State{ShareDataID: "x", CurrentState: stateAt(rest), Cursor: rest}, word == "resumed")
		case "removed":
			u.Frame(&wire.Lifecycle{ShareDataID: "x", Event: wire.EventRemoved, Cursor: rest})
		default:
			cursor, replayed := strings.CutPrefix(word, "~")
			f := &wire.Transaction{ShareDataID: "x", TransactionID: cursor, Accepted: true, Replayed: replayed}
			if !replayed {
				f.CurrentState = stateAt(cursor)
			}
			u.Frame(f)
		}
	}
}

func TestClient_Streams(t *testing.T) {
	var kept []checker.Promise
	just := func(p ...checker.Promise) []checker.Promise { return p }
	for _, test := range []struct {
		name, steps string
		options     checker.Options
		want        []checker.Promise
	}{
		{"a resumption in the middle of a replay", "state 1-3; 1-4; resumed 1-8; ~1-5; ~1-6; resumed 1-9; ~1-7; ~1-8; ~1-9; 1-10", checker.Options{}, kept},
		{"a resumption that missed nothing", "state 1-3; resumed 1-3; 1-4", checker.Options{}, kept},
		{"a resumption from where another process was", "subscribe 1-3; resumed 1-4; ~1-4; 1-5", checker.Options{}, kept},
		{"a gap from where another process was", "subscribe 1-3; gap; state 2-1; 2-2", checker.Options{}, kept},
		{"a gap to another epoch", "state 1-3; gap; state 2-1; 2-2", checker.Options{}, kept},
		{"a gap that was longer than the window", "state 1-3; gap; state 1-9; 1-10", checker.Options{Window: 5}, kept},
		{"a gap backwards, to a process that lags", "state 1-8; gap; state 1-6; 1-7", checker.Options{}, kept},
		{"two gaps in a row", "state 1-3; gap; gap; state 2-1", checker.Options{}, kept},
		{"a new subscription after a removal", "state 1-3; removed 1-4; subscribe; state 2-1", checker.Options{}, kept},
		{"a state after a removal", "state 1-3; removed 1-4; state 2-1; 2-2", checker.Options{}, kept},
		{"a gap to the end", "state 1-3; gap; removed 1-9", checker.Options{Complete: true}, kept},
		{"a gap to an end without a place", "state 1-3; gap; removed; subscribe; state 2-1", checker.Options{}, kept},
		{"an event after a gap to the end", "state 1-3; gap; removed 1-9; 1-10", checker.Options{}, just(checker.NeverInterleaved)},
		{"a subscription that is ended early", "state 1-3; closed", checker.Options{Complete: true}, kept},
		{"a needless gap", "state 1-3; gap; state 1-8; 1-9", checker.Options{Window: 5}, just(checker.Resumable)},
		{"a resumption from nothing", "resumed 1-3; 1-4", checker.Options{}, just(checker.Resumable)},
		{"a resumption from a gap", "state 1-3; gap; resumed 1-5; 1-6", checker.Options{}, just(checker.Resumable)},
		{"a resumption in another epoch", "state 1-3; resumed 2-5; 2-6", checker.Options{}, just(checker.Resumable)},
		{"a resumption backwards", "state 1-3; resumed 1-2; 1-3", checker.Options{}, just(checker.Resumable)},
		{"a resumption that delivers too little", "state 1-3; resumed 1-6; ~1-4; ~1-5; 1-7", checker.Options{}, just(checker.Gapless)},
		{"a resumption that delivers nothing", "state 1-3; resumed 1-6; 1-7", checker.Options{}, just(checker.Gapless)},
		{"a resumption that delivers something again", "state 1-3; 1-4; resumed 1-5; ~1-4; ~1-5", checker.Options{}, just(checker.Once)},
		{"a silent jump", "state 1-3; 1-4; state 1-9; 1-10", checker.Options{}, just(checker.Resumable)},
		{"a silent jump to another epoch", "state 1-3; 1-4; state 2-9; 2-10", checker.Options{}, just(checker.Resumable)},
		{"an event before any state", "1-4", checker.Options{}, just(checker.NeverInterleaved)},
		{"an event after the removal", "state 1-3; removed 1-4; 1-5", checker.Options{}, just(checker.NeverInterleaved)},
		{"an event after a gap", "state 1-3; gap; 1-9", checker.Options{}, just(checker.Resumable)},
		{"a subscription that never began", "subscribe", checker.Options{Complete: true}, just(checker.Complete)},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			clientSteps(rec.Client("u", "x"), test.steps)
			v := rec.Check(test.options)
			if got := broken(v); !slices.Equal(got, test.want) {
				t.Errorf("%s\nbroken: %q, want %q\n%v", test.steps, got, test.want, v)
			}
		})
	}
}

// history seals a history of transactions by a function "set", with the states
// of subscriberSteps.
func history(epoch uint64, revisions int, change func(e *sharedata.Entry)) []sharedata.Entry {
	entries := make([]sharedata.Entry, revisions)
	for i := range entries {
		e := &entries[i]
		e.ShareDataID, e.Cursor.Epoch, e.Cursor.Revision = "x", epoch, uint64(i+1)
		state := stateAt(e.Cursor.String())
		e.Type, e.Accepted, e.FunctionID, e.Data, e.StateHash = sharedata.EntryTransaction, true, "set", state, hashOf(state)
		if i == 0 {
			*e = sharedata.Entry{ShareDataID: "x", Cursor: e.Cursor, Type: sharedata.EntryCreated, StateHash: e.StateHash}
		}
		change(e)
	}
	reseal(entries, 0)
	return entries
}

func unchanged(*sharedata.Entry) {}

func TestRemoval_WithoutPosition(t *testing.T) {
	for steps, want := range map[string][]checker.Promise{
		"subscribe; state 1-1; 1-2; 1-3; removed": nil,
		"subscribe; state 1-1; 1-2; removed":      {checker.Gapless},
	} {
		rec := checker.NewRecorder()
		rec.History(history(1, 4, func(e *sharedata.Entry) {
			if e.Revision() == 4 {
				e.Type, e.StateHash = sharedata.EntryRemoved, sharedata.Hash{}
			}
		}))
		s := rec.Subscriber("s", "x")
		subscriberSteps(s, steps)
		if got := broken(rec.Check(checker.Options{Complete: true})); !slices.Equal(got, want) {
			t.Errorf("%s: broken %q, want %q", steps, got, want)
		}
	}
}

func TestHistories(t *testing.T) {
	key := func(revisions ...uint64) func(*sharedata.Entry) {
		return func(e *sharedata.Entry) {
			if slices.Contains(revisions, e.Revision()) {
				e.IdempotencyKey = "k"
			}
		}
	}
	for _, test := range []struct {
		name    string
		options checker.Options
		entries []sharedata.Entry
		want    []checker.Promise
	}{
		{"unbroken", checker.Options{}, history(1, 9, unchanged), nil},
		{"without its beginning", checker.Options{}, history(1, 9, unchanged)[5:], nil},
		{"two epochs", checker.Options{}, slices.Concat(history(1, 3, key(2)), history(2, 3, key(2))), nil},
		{"a key that could be forgotten", checker.Options{Retention: 3}, history(1, 9, key(2, 6)), nil},
		{"a key that had to be known", checker.Options{Retention: 4}, history(1, 9, key(2, 6)), []checker.Promise{checker.OnceOnly}},
		{"a key that two subjects use", checker.Options{}, history(1, 9, func(e *sharedata.Entry) {
			key(2, 6)(e)
			e.Caller = &sharedata.Caller{Subject: fmt.Sprint(e.Revision())}
		}), nil},
		{"a function that the model does not know", checker.Options{Models: map[string]checker.Model{"x": checker.Register}},
			history(1, 3, func(e *sharedata.Entry) { e.FunctionID = "reset" }), []checker.Promise{checker.OneWinner}},
		{"as the model says", checker.Options{Models: map[string]checker.Model{"x": checker.Register}}, history(1, 3, unchanged), nil},
		{"another state than the model's", checker.Options{Models: map[string]checker.Model{"x": checker.Register}},
			history(1, 3, func(e *sharedata.Entry) { e.Data = json.RawMessage("7") }), []checker.Promise{checker.OneWinner}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			rec.History(test.entries)
			subscriberSteps(rec.Subscriber("s", "x"), "subscribe; state 1-1; lost") // so that the state is known
			if v := rec.Check(test.options); !slices.Equal(broken(v), test.want) {
				t.Errorf("broken: %q, want %q\n%v", broken(v), test.want, v)
			}
		})
	}
}

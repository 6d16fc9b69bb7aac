package checker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// operationSteps records a steps of what was asked of the counter "x", step by step:
//
//	NAME: create N | update N | add N [KEY] | reset   it is sent
//	NAME = CURSOR [!] [dup]                           it is answered; !: rejected
//	NAME = ? [CODE]                                   it is refused, with the code
//	saw CURSOR N                                      a subscriber receives the state N
type operationSteps struct {
	rec     *checker.Recorder
	pending map[string]*checker.Pending
	seen    int
}

func (a *operationSteps) subscriberSteps(steps string) {
	for text := range strings.SplitSeq(steps, ";") {
		name, asked, isAsked := strings.Cut(strings.TrimSpace(text), ": ")
		words := append(strings.Fields(text), "", "")
		duplicate := strings.HasSuffix(text, " dup")
		switch {
		case isAsked:
			words = append(strings.Fields(asked), "", "")
			p := checker.Proposal{Proposer: name, ShareData: "x", Function: words[0], Key: words[2]}
			switch words[0] {
			case "create":
				p.Data = json.RawMessage(`{"value":` + words[1] + `}`)
				a.pending[name] = a.rec.Creating(p)
			case "update":
				p.Data = json.RawMessage(`{"value":` + words[1] + `}`)
				a.pending[name] = a.rec.Updating(p)
			case "reset":
				p.Data = json.RawMessage("null")
				a.pending[name] = a.rec.Proposed(p)
			default:
				p.Data = json.RawMessage(`{"by":` + words[1] + `}`)
				a.pending[name] = a.rec.Proposed(p)
			}
		case words[0] == "saw":
			a.seen++
			s := a.rec.Subscriber(fmt.Sprint("s", a.seen), "x")
			s.Subscribed("")
			f := stateFrame(words[1], json.RawMessage(`{"value":`+words[2]+`}`))
			f.LastTransactionID = words[1]
			s.Frame(f)
			s.Disconnected(0)
		case words[2] == "?":
			a.pending[words[0]].Answered(checker.Answer{Code: words[3], Error: "refused"})
		default:
			a.pending[words[0]].Answered(checker.Answer{Accepted: words[3] != "!", TransactionID: words[2], Duplicate: duplicate})
		}
	}
}

// counterHistory is a history of a counter: 5 is a creation with that value,
// +1 an accepted add (+1k with the key k), -9! a rejected one, =7 an update.
func counterHistory(text string) []sharedata.Entry {
	var entries []sharedata.Entry
	var previous sharedata.Hash
	value := 0
	for i, word := range strings.Fields(text) {
		e := sharedata.Entry{ShareDataID: "x", Cursor: replay.Cursor{Epoch: 1, Revision: uint64(i) + 1}, Time: time.Unix(1e9, 0).UTC()}
		switch number := strings.Trim(word, "!k=+"); {
		case i == 0:
			e.Type = sharedata.EntryCreated
			fmt.Sscan(number, &value)
		case word[0] == '=':
			e.Type = sharedata.EntryUpdated
			fmt.Sscan(number, &value)
		default:
			e.Type, e.FunctionID, e.Data = sharedata.EntryTransaction, "add", json.RawMessage(`{"by":`+number+`}`)
			if strings.HasSuffix(word, "k") {
				e.IdempotencyKey = "k"
			}
			if e.Accepted = !strings.HasSuffix(word, "!"); e.Accepted {
				by := 0
				fmt.Sscan(number, &by)
				value += by
			} else {
				e.Reason = "below zero"
			}
		}
		e.StateHash = hashOf(fmt.Appendf(nil, `{"value":%d}`, value))
		entries = append(entries, seal(e, previous))
		previous = entries[i].Hash
	}
	return entries
}

func TestEffects_Order(t *testing.T) {
	var kept []checker.Promise
	just := func(p ...checker.Promise) []checker.Promise { return p }
	for _, test := range []struct {
		name, steps, history string
		want                 []checker.Promise
	}{
		{"one after the other", "a: create 1; a = 1-1; b: add 2; b = 1-2; c: add -9; c = 1-3 !", "1 +2 -9!", kept},
		{"at the same time, in either order", "a: create 1; a = 1-1; b: add 2; c: add -3; b = 1-3; c = 1-2 !", "1 -3! +2", kept},
		{"no history was recorded", "a: create 1; a = 1-1; b: add 2; b = 1-2; c: add -9; c = 1-3 !; d: add -3; d = 1-4", "", kept},
		{"accepted against the rules, and no history was recorded", "a: create 1; a = 1-1; b: add -2; b = 1-2", "", just(checker.OneWinner)},
		{"rejected against the rules, and no history was recorded", "a: create 1; a = 1-1; b: reset; b = 1-2; c: add 0; c = 1-3 !", "", just(checker.OneWinner)},
		{"decided on an old state", "a: create 5; a = 1-1; b: add -5; c: add -5; b = 1-2; c = 1-3", "", just(checker.OneWinner)},
		{"an update in between", "a: create 1; a = 1-1; u: update 9; b: add -9; u = 1-2; b = 1-3", "1 =9 -9", kept},
		{"an update that is forgotten", "a: create 1; a = 1-1; u: update 9; b: add -9; u = 1-2; b = 1-3 !", "", just(checker.OneWinner)},
		{"what came between is not known", "a: create 1; a = 1-1; b: add -5; b = 1-3; c: add 1; c = 1-4; d: add -9; d = 1-5", "", kept},
		{"a state that is known again", "a: create 1; a = 1-1; b: add -5; b = 1-3; u: update 2; u = 1-4; c: add -3; c = 1-5", "", just(checker.OneWinner)},
		{"a subscriber saw the state", "a: create 1; a = 1-1; b: add -5; b = 1-3; saw 1-3 2; c: add -3; c = 1-4", "", just(checker.OneWinner)},
		{"the state is another than the rules say", "a: create 1; a = 1-1; b: add 5; b = 1-2; saw 1-2 7", "", just(checker.OneWinner)},
		{"unanswered, with a key", "a: create 1; a = 1-1; b: add 2 k; c: add 3; c = 1-2", "1 +3 +2k", kept},
		{"unanswered, with a key, and decided before it was sent", "a: create 1; a = 1-1; c: add 3; c = 1-3; b: add 2 k", "1 +2k +3", just(checker.OneWinner)},
		{"a repeat that subscribes for something else is answered first", "a: create 1; a = 1-1; b: add 9 k; c: add 2 k; b = 1-2 dup; c = 1-2; d: add -9; d = 1-3 !", "", kept},
		{"a repeat that is answered last", "a: create 1; a = 1-1; b: add 9 k; c: add 2 k; c = 1-2; b = 1-2 dup; d: add -9; d = 1-3", "", just(checker.OneWinner)},
		{"one of two repeats, unanswered", "a: create 1; a = 1-1; b: add 9 k; c: add 2 k", "1 +2k", kept},
		{"unanswered, with a key that the entry does not have", "a: create 1; a = 1-1; b: add 2 k", "1 +2", just(checker.OnceOnly)},
		{"unanswered, with a key, and known before it was sent", "a: create 1; a = 1-1; saw 1-2 3; b: add 2 k; saw 1-2 3", "1 +2k", just(checker.OneWinner)},
		{"unanswered, without a key", "a: create 1; a = 1-1; b: add 2; c: add 3; c = 1-2; saw 1-3 6", "1 +3 +2", kept},
		{"unanswered, without effect", "a: create 1; a = 1-1; b: add 2; c: add 3; c = 1-2", "1 +3", kept},
		{"refused, with effect all the same", "a: create 1; a = 1-1; b: add 2; b = ?; c: add 3; c = 1-3", "1 +2 +3", kept},
		{"refused for certain, with effect all the same", "a: create 1; a = 1-1; b: add 2; b = ? busy", "1 +2", just(checker.OnceOnly)},
		{"refused for certain, with a key, with effect all the same", "a: create 1; a = 1-1; b: add 2 k; b = ? unavailable", "1 +2k", just(checker.OnceOnly)},
		{"refused for certain, and repeated with effect", "a: create 1; a = 1-1; b: add 2 k; b = ? busy; c: add 2 k", "1 +2k", kept},
		{"outcome unknown, with effect", "a: create 1; a = 1-1; b: add 2; b = ? outcome-unknown; c: add 3 k; c = ? outcome-unknown", "1 +2 +3k", kept},
		{"refused, with effect twice", "a: create 1; a = 1-1; b: add 2; b = ?; c: add 3; c = 1-4", "1 +2 +2 +3", just(checker.OnceOnly)},
		{"alike, unanswered, one with effect", "a: create 1; a = 1-1; b: add 2; c: add 2; d: add 3; d = 1-3", "1 +2 +3", kept},
		{"alike, unanswered, the second one sent too late", "a: create 1; a = 1-1; b: add 2; saw 1-3 5; c: add 2", "1 +2 +2", just(checker.OnceOnly)},
		{"known before it was asked for", "a: create 1; a = 1-1; saw 1-2 3; b: add 2; b = 1-2", "1 +2", just(checker.OneWinner)},
		{"no operation asked for it", "a: create 1; a = 1-1; b: add 2; b = 1-2", "1 +2 +2", just(checker.OnceOnly)},
		{"no operation asked for the update", "a: create 1; a = 1-1", "1 =2", just(checker.OnceOnly)},
		{"an update that is not answered", "a: create 1; a = 1-1; u: update 2", "1 =2", kept},
		{"an update to another state", "a: create 1; a = 1-1; u: update 2; u = 1-2", "1 =3", just(checker.CommittedBeforeSeen, checker.OneWinner)},
		{"an update that was lost", "a: create 1; a = 1-1; u: update 2; u = 1-2", "1", just(checker.CommittedBeforeSeen)},
		{"a creation that was lost", "a: create 1; a = 2-1", "1", just(checker.CommittedBeforeSeen)},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			(&operationSteps{rec: rec, pending: make(map[string]*checker.Pending)}).subscriberSteps(test.steps)
			rec.History(counterHistory(test.history))
			v := rec.Check(checker.Options{
				Attributed: true, Durable: test.history != "",
				Models: map[string]checker.Model{"x": checker.Counter},
			})
			if !slices.Equal(broken(v), test.want) {
				t.Errorf("%s\nbroken: %q, want %q\n%v", test.steps, broken(v), test.want, v)
			}
		})
	}
}

func TestEffects_PartialHistory(t *testing.T) {
	for steps, bad := range map[string]bool{
		"saw 1-1 5; b: add -5; b = 1-2": false,
		"saw 1-1 5; b: add -9; b = 1-2": true,
	} {
		rec := checker.NewRecorder()
		(&operationSteps{rec: rec, pending: make(map[string]*checker.Pending)}).subscriberSteps(steps)
		rec.PartialHistory(counterHistory("5"))
		v := rec.Check(checker.Options{Models: map[string]checker.Model{"x": checker.Counter}})
		if (len(v.Of(checker.OneWinner)) == 1) != bad {
			t.Errorf("%s: %v", steps, v)
		}
	}
}

func TestEffects_Attributed(t *testing.T) {
	entry := func(data, key, subject string) sharedata.Entry {
		e := sharedata.Entry{
			ShareDataID: "y", Cursor: replay.Cursor{Epoch: 1, Revision: 2}, Type: sharedata.EntryTransaction,
			FunctionID: "set", Data: json.RawMessage(data), Accepted: true, IdempotencyKey: key,
		}
		if subject != "" {
			e.Caller = &sharedata.Caller{Subject: subject}
		}
		return seal(e, hashOf(json.RawMessage("1")))
	}
	for _, test := range []struct {
		name string
		p    checker.Proposal
		e    sharedata.Entry
		bad  bool
	}{
		{"the same", checker.Proposal{Data: json.RawMessage(`1`)}, entry("1", "", ""), false},
		{"other data", checker.Proposal{Data: json.RawMessage(`2`)}, entry("1", "", ""), true},
		{"another form of the data", checker.Proposal{Data: json.RawMessage(`[ "<" ]`)}, entry(`["\u003c"]`, "", ""), false},
		{"the same subject", checker.Proposal{Data: json.RawMessage(`1`), Key: "k", Subject: "s"}, entry("1", "k", "s"), false},
		{"another subject", checker.Proposal{Data: json.RawMessage(`1`), Key: "k"}, entry("1", "k", "s"), true},
	} {
		rec := checker.NewRecorder()
		test.p.ShareData, test.p.Function = "y", "set"
		rec.Proposed(test.p)
		rec.History([]sharedata.Entry{test.e})
		// Without a model, there is nothing to linearize.
		v := rec.Check(checker.Options{Attributed: true})
		if (len(v.Of(checker.OnceOnly)) == 1) != test.bad || len(v) > 1 {
			t.Errorf("%s: %v", test.name, v)
		}
	}
}

func TestSummary_Administered(t *testing.T) {
	rec := checker.NewRecorder()
	(&operationSteps{rec: rec, pending: make(map[string]*checker.Pending)}).subscriberSteps("a: create 1; a = 1-1; u: update 2; u = ?; v: update 3; b: add 1; b = 1-2")
	if s := rec.Summary(); s.Administered != 1 || s.Proposals != 1 {
		t.Errorf("recorded %v", s)
	}
	kinds := []checker.OperationKind{checker.OperationCreate, checker.OperationUpdate, checker.OperationUpdate, checker.OperationPropose}
	for i, o := range rec.Operations("x") {
		if o.Kind != kinds[i] {
			t.Errorf("operation %d is of kind %d", i, o.Kind)
		}
	}
}

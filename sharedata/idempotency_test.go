package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// wantRepeat checks that a verdict repeats the first one.
func wantRepeat(t *testing.T, what string, first, got sharedata.Verdict, err error) {
	t.Helper()
	first.Duplicate = true
	if err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("%s: got %+v, %v, want %+v", what, got, err, first)
	}
}

func TestARepeatedKeyGetsTheFirstVerdict(t *testing.T) {
	memory := newMemory(t, nil)
	m := newCounter(t, &sharedata.Options{Store: memory}, 0)
	first, err := m.Propose(t.Context(), addition("counter", 1, "k"))
	if err != nil || !first.Accepted || first.Duplicate {
		t.Fatal(first, err)
	}
	mustAdd(t, m, "counter", 1)

	again, err := m.Propose(t.Context(), addition("counter", 1, "k"))
	wantRepeat(t, "the same", first, again, err)
	other, err := m.Propose(t.Context(), addition("counter", 50, "k"))
	wantRepeat(t, "other data", first, other, err)
	failing, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "k"})
	wantRepeat(t, "another function", first, failing, err)

	restarted := newManager(t, &sharedata.Options{Store: memory})
	if _, err := restarted.Ensure(t.Context(), "counter", nil, add); err != nil {
		t.Fatal(err)
	}
	after, err := restarted.Propose(t.Context(), addition("counter", 1, "k"))
	wantRepeat(t, "after a restart", first, after, err)
	wantState(t, restarted, "counter", `{"value":2}`)
}

func TestARepeatedKeyGetsTheFirstRejection(t *testing.T) {
	m := newCounter(t, nil, 0)
	first, err := m.Propose(t.Context(), addition("counter", -5, "k"))
	if err != nil || first.Accepted || first.Reason != "below zero" {
		t.Fatal(first, err)
	}
	mustAdd(t, m, "counter", 10) // now it would be accepted
	again, err := m.Propose(t.Context(), addition("counter", -5, "k"))
	wantRepeat(t, "a rejection", first, again, err)
	wantState(t, m, "counter", `{"value":10}`)
}

func TestAFailureIsNotRemembered(t *testing.T) {
	m := newCounter(t, nil, 0)
	for range 2 {
		_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "k"})
		if !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
	}
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || !v.Accepted || v.Duplicate {
		t.Errorf("after failures: %+v, %v", v, err)
	}
}

func TestConcurrentRepeatsTakeEffectOnce(t *testing.T) {
	const keys, repeats = 5, 12
	m := newCounter(t, nil, 0)
	var firsts [keys]atomic.Int32
	var verdicts [keys]sync.Map
	var wait sync.WaitGroup
	for i := range keys * repeats {
		wait.Go(func() {
			key := i % keys
			v, err := m.Propose(context.Background(), addition("counter", 1, fmt.Sprint("key-", key)))
			if err != nil || !v.Accepted {
				t.Errorf("%+v, %v", v, err)
			}
			if !v.Duplicate {
				firsts[key].Add(1)
			}
			verdicts[key].Store(v.Cursor, true)
		})
	}
	wait.Wait()
	for key := range keys {
		cursors := 0
		verdicts[key].Range(func(any, any) bool { cursors++; return true })
		if firsts[key].Load() != 1 || cursors != 1 {
			t.Errorf("key %d: %d first verdicts, %d cursors", key, firsts[key].Load(), cursors)
		}
	}
	wantState(t, m, "counter", fmt.Sprintf(`{"value":%d}`, keys))
}

func TestRepeatsWithinOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("held", g))
		var a answers
		m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held"}, a.done("held"))
		<-g.arrived
		for _, p := range []sharedata.Proposal{
			addition("counter", 1, "a"), addition("counter", 1, "a"), addition("counter", -9, "b"), addition("counter", 1, "a"), addition("counter", -9, "b"),
		} {
			m.Submit(t.Context(), p, a.done(p.IdempotencyKey))
		}
		close(g.open)
		synctest.Wait()
		first := make(map[string]sharedata.Verdict)
		for _, answer := range a.all() {
			if v, repeated := first[answer.name]; repeated {
				wantRepeat(t, answer.name, v, answer.verdict, answer.err)
			} else if answer.err != nil || answer.verdict.Duplicate {
				t.Errorf("%+v", answer)
			}
			if !answer.verdict.Duplicate {
				first[answer.name] = answer.verdict
			}
		}
		wantHistory(t, m, "counter", "1 created", "2 held null accepted", `3 add {"by":1} accepted`, `4 add {"by":-9} rejected`)
	})
}

// Nobody may learn of, or be kept from, anything by a key that somebody else
// has used.
func TestKeysOfDifferentCallersNeverMeet(t *testing.T) {
	m := newCounter(t, nil, 0)
	n := 0
	for _, who := range []struct{ subject, key string }{
		{"", "k"}, {"ann", "k"}, {"bob", "k"}, {"annk", ""}, {"an", "nk"}, {"ann", "bk"}, {"annb", "k"},
		{"1:a", "k"}, {"", "1:ak"}, {"", "3:annk"}, {"\x00", "k"}, {"", "\x00k"},
	} {
		for i := range 2 {
			p := addition("counter", 1, who.key)
			p.Caller = &sharedata.Caller{Subject: who.subject}
			v, err := m.Propose(t.Context(), p)
			if err != nil || !v.Accepted || v.Duplicate != (i == 1 && who.key != "") {
				t.Errorf("%q with the key %q, time %d: %+v, %v", who.subject, who.key, i+1, v, err)
			}
			if !v.Duplicate {
				n++
			}
		}
	}
	// No caller is the caller without a name.
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || !v.Duplicate {
		t.Errorf("%+v, %v", v, err)
	}
	wantState(t, m, "counter", fmt.Sprintf(`{"value":%d}`, n))
}

func TestKeysOfDifferentShareDataNeverMeet(t *testing.T) {
	m := newCounter(t, nil, 0)
	createCounter(t, m, "other", 0)
	for _, id := range []string{"counter", "other"} {
		if v, err := m.Propose(t.Context(), addition(id, 1, "k")); err != nil || v.Duplicate {
			t.Errorf("%q: %+v, %v", id, v, err)
		}
	}
}

func TestAKeyIsForgottenWithItsTransaction(t *testing.T) {
	m := newCounter(t, &sharedata.Options{Store: newMemory(t, &replay.MemoryOptions{MaxEntries: 3})}, 0)
	for i, want := range []bool{false, true} { // whether it is a repeat
		if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate != want {
			t.Errorf("time %d: %+v, %v", i+1, v, err)
		}
	}
	mustAdd(t, m, "counter", 0)
	mustAdd(t, m, "counter", 0)
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || !v.Duplicate {
		t.Errorf("while it is kept: %+v, %v", v, err)
	}
	mustAdd(t, m, "counter", 0)
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate {
		t.Errorf("when it is no longer kept: %+v, %v", v, err)
	}
}

func TestKeysAreForgottenWithTheShareData(t *testing.T) {
	m := newCounter(t, nil, 0)
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate {
		t.Fatal(v, err)
	}
	if err := m.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Propose(t.Context(), addition("counter", 1, "k")); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("while it is removed: %v", err)
	}
	createCounter(t, m, "counter", 0)
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate || !v.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
}

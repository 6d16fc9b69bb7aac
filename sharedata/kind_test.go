package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/sharedata"
)

func TestKind_LoadedFromStore(t *testing.T) {
	options := &sharedata.Options{
		Store: newMemory(t, nil),
		Kinds: []sharedata.Kind{sharedata.NewKind("counter", add), sharedata.NewKind("empty")},
	}
	m := newManager(t, options)
	created, err := m.CreateKind(t.Context(), "c", "counter", Counter{1})
	if err != nil || created.Kind != "counter" {
		t.Fatalf("%+v, %v", created, err)
	}
	mustAdd(t, m, "c", 1)
	if _, err := m.CreateKind(t.Context(), "e", "empty", Counter{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.CreateKind(t.Context(), "x", "other", 0); !errors.Is(err, sharedata.ErrUnknownKind) {
		t.Errorf("a kind that nobody named: %v", err)
	}
	if _, err := m.CreateKind(t.Context(), "c", "empty", 0); !errors.Is(err, sharedata.ErrExists) {
		t.Errorf("created twice: %v", err)
	}

	restarted := newManager(t, options)
	mustAdd(t, restarted, "c", 1)
	if got := mustGet(t, restarted, "c"); got.Kind != "counter" || string(got.State) != `{"value":3}` {
		t.Errorf("after a restart: %+v", got)
	}
	if _, err := restarted.Propose(t.Context(), addition("e", 1, "")); !errors.Is(err, sharedata.ErrUnknownFunction) {
		t.Errorf("a function of another kind: %v", err)
	}
	if entries := wholeHistory(t, restarted, "c"); entries[0].Kind != "counter" {
		t.Errorf("the creation is recorded as %+v", entries[0])
	}
}

func TestKind_NoLongerKnown(t *testing.T) {
	memory := newMemory(t, nil)
	before := newManager(t, &sharedata.Options{Store: memory, Kinds: []sharedata.Kind{sharedata.NewKind("counter", add)}})
	if _, err := before.CreateKind(t.Context(), "c", "counter", Counter{1}); err != nil {
		t.Fatal(err)
	}
	after := newManager(t, &sharedata.Options{Store: memory})
	if _, err := after.Propose(t.Context(), addition("c", 1, "")); !errors.Is(err, sharedata.ErrUnknownFunction) {
		t.Errorf("got %v", err)
	}
	if got := mustGet(t, after, "c"); got.Kind != "counter" {
		t.Errorf("the kind is now %q", got.Kind)
	}
	if _, err := after.Ensure(t.Context(), "c", nil, add); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, after, "c", 1)
}

func TestKind_Invalid(t *testing.T) {
	for name, kinds := range map[string][]sharedata.Kind{
		"no name":                {sharedata.NewKind("", add)},
		"one name twice":         {sharedata.NewKind("a", add), sharedata.NewKind("a")},
		"a name that is no text": {sharedata.NewKind("a\xff")},
		"one function twice":     {sharedata.NewKind("a", add, add)},
		"no function":            {sharedata.NewKind("a", nil)},
	} {
		m, err := sharedata.NewManager(&sharedata.Options{Kinds: kinds})
		if !errors.Is(err, sharedata.ErrUnknownKind) && !errors.Is(err, sharedata.ErrInvalidFunction) || m != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestEnsure(t *testing.T) {
	memory := newMemory(t, nil)
	m := newManager(t, &sharedata.Options{Store: memory})
	first, err := m.Ensure(t.Context(), "c", Counter{5}, add)
	if err != nil || string(first.State) != `{"value":5}` || first.Cursor.Revision != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	mustAdd(t, m, "c", 1)

	restarted := newManager(t, &sharedata.Options{Store: memory})
	if _, err := restarted.Propose(t.Context(), addition("c", 1, "")); !errors.Is(err, sharedata.ErrUnknownFunction) {
		t.Errorf("before Ensure: %v", err)
	}
	second, err := restarted.Ensure(t.Context(), "c", Counter{100}, add)
	if err != nil || string(second.State) != `{"value":6}` || second.Cursor.Revision != 2 {
		t.Errorf("%+v, %v", second, err)
	}
	mustAdd(t, restarted, "c", 1)
	if _, err := restarted.Ensure(t.Context(), "c", Counter{}, broken); err != nil {
		t.Fatal(err)
	}
	if _, err := restarted.Propose(t.Context(), addition("c", 1, "")); !errors.Is(err, sharedata.ErrUnknownFunction) {
		t.Errorf("a function that the last Ensure did not name: %v", err)
	}
	wantHistory(t, restarted, "c", "1 created", `2 add {"by":1} accepted`, `3 add {"by":1} accepted`)
}

func TestEnsureKind(t *testing.T) {
	options := &sharedata.Options{
		Store: newMemory(t, nil),
		Kinds: []sharedata.Kind{sharedata.NewKind("counter", add), sharedata.NewKind("other")},
	}
	m := newManager(t, options)
	first, err := m.EnsureKind(t.Context(), "c", "counter", Counter{5})
	if err != nil || first.Kind != "counter" || string(first.State) != `{"value":5}` || first.Cursor.Revision != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	mustAdd(t, m, "c", 1)
	for _, m := range []*sharedata.Manager{m, newManager(t, options)} { // also after a restart
		again, err := m.EnsureKind(t.Context(), "c", "counter", Counter{100})
		if err != nil || again.Kind != "counter" || string(again.State) != `{"value":6}` || again.Cursor.Revision != 2 {
			t.Errorf("%+v, %v", again, err)
		}
	}
	createCounter(t, m, "own", 1)
	for id, kind := range map[string]string{"c": "other", "own": "counter"} {
		snapshot, err := m.EnsureKind(t.Context(), id, kind, 0)
		if !errors.Is(err, sharedata.ErrExists) || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), kind) || snapshot.ID != "" {
			t.Errorf("%q exists with another kind than %q: %+v, %v", id, kind, snapshot, err)
		}
	}
	if _, err := m.EnsureKind(t.Context(), "c", "none", 0); !errors.Is(err, sharedata.ErrUnknownKind) {
		t.Errorf("an unknown kind: %v", err)
	}
	if _, err := m.EnsureKind(t.Context(), "new", "counter", rawJSON("{")); !errors.Is(err, sharedata.ErrInvalidState) {
		t.Errorf("an invalid state: %v", err)
	}
	wantHistory(t, m, "c", "1 created", `2 add {"by":1} accepted`)
}

// Many callers in two processes ensure one ShareData at once, and get the same one.
func TestEnsureKind_Concurrent(t *testing.T) {
	shared := sharedstore.New()
	kinds := []sharedata.Kind{sharedata.NewKind("counter", add)}
	var wait sync.WaitGroup
	for range 2 {
		m := newManager(t, &sharedata.Options{Store: shared.Process(), Kinds: kinds})
		for range 10 {
			wait.Go(func() {
				if _, err := m.EnsureKind(context.Background(), "c", "counter", Counter{}); err != nil {
					t.Error(err)
					return
				}
				mustAdd(t, m, "c", 1)
			})
		}
	}
	wait.Wait()
	wantState(t, newManager(t, &sharedata.Options{Store: shared.Process()}), "c", `{"value":20}`)
}

func TestEnsure_AddsToKind(t *testing.T) {
	m := newManager(t, &sharedata.Options{Kinds: []sharedata.Kind{sharedata.NewKind("counter", add)}})
	if _, err := m.CreateKind(t.Context(), "c", "counter", Counter{}); err != nil {
		t.Fatal(err)
	}
	double := sharedata.NewFunction("double", func(_ context.Context, c Counter, _ any) (Counter, error) {
		return Counter{2 * c.Value}, nil
	})
	if _, err := m.Ensure(t.Context(), "c", nil, double); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, m, "c", 3)
	if v, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "c", FunctionID: "double"}); err != nil || !v.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
	wantState(t, m, "c", `{"value":6}`)
}

func TestResolver_Decides(t *testing.T) {
	ann := &sharedata.Caller{Subject: "ann"}
	twice := sharedata.NewFunction("twice", func(_ context.Context, c Counter, in Add) (Counter, error) {
		return Counter{c.Value + 2*in.By}, nil
	})
	bad := twice.WithInputSchema("{")
	for _, test := range []struct {
		name     string
		resolver sharedata.Resolver
		state    string
		want     error
	}{
		{"by default the function registered by that id", nil, `{"value":1}`, nil},
		{"a function that is not registered", func(ctx context.Context, id, functionID string, registered sharedata.Functions) (*sharedata.Function, error) {
			if id != "counter" || functionID != "add" || registered.ByID("add") != add || registered.ByID("") != nil || sharedata.CallerFrom(ctx) != ann {
				return nil, fmt.Errorf("asked for %q of %q", functionID, id)
			}
			return twice, nil
		}, `{"value":2}`, nil},
		{"none", sharedata.ResolveNone, `{"value":0}`, sharedata.ErrProposingDisabled},
		{"nil", func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
			return nil, nil
		}, `{"value":0}`, sharedata.ErrUnknownFunction},
		{"an error", func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
			return add, errBroken
		}, `{"value":0}`, errBroken},
		{"a panic", func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
			panic("no")
		}, `{"value":0}`, sharedata.ErrUnknownFunction},
		{"a function that cannot be called", func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
			return bad, nil
		}, `{"value":0}`, sharedata.ErrInvalidFunction},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newCounter(t, &sharedata.Options{Resolver: test.resolver}, 0)
			p := addition("counter", 1, "")
			p.Caller = ann
			v, err := m.Propose(t.Context(), p)
			if !errors.Is(err, test.want) || (err == nil) != v.Accepted {
				t.Errorf("%+v, %v, want %v", v, err, test.want)
			}
			wantState(t, m, "counter", test.state)
			p.Function = add // is not resolved
			if v, err := m.Propose(t.Context(), p); err != nil || !v.Accepted {
				t.Errorf("with the function itself: %+v, %v", v, err)
			}
		})
	}
}

func TestResolver_OfProposal(t *testing.T) {
	m := newCounter(t, &sharedata.Options{Resolver: sharedata.ResolveNone}, 0)
	p := addition("counter", 1, "")
	if _, err := m.Propose(t.Context(), p); !errors.Is(err, sharedata.ErrProposingDisabled) {
		t.Errorf("the manager's: %v", err)
	}
	p.Resolver = sharedata.ResolveByID
	if v, err := m.Propose(t.Context(), p); err != nil || !v.Accepted {
		t.Errorf("its own: %+v, %v", v, err)
	}
	p.Resolver = func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) { panic("no") }
	if _, err := m.Propose(t.Context(), p); !errors.Is(err, sharedata.ErrUnknownFunction) {
		t.Errorf("its own, which panics: %v", err)
	}
	p.Function = add
	if v, err := m.Propose(t.Context(), p); err != nil || !v.Accepted {
		t.Errorf("with the function itself: %+v, %v", v, err)
	}
}

func TestResolver_DelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, &sharedata.Options{Resolver: func(_ context.Context, _, functionID string, registered sharedata.Functions) (*sharedata.Function, error) {
			if functionID == "slow" {
				g.pass()
			}
			return registered.ByID("add"), nil
		}}, 0)
		done := make(chan error)
		go func() {
			p := addition("counter", 10, "")
			p.FunctionID = "slow"
			_, err := m.Propose(t.Context(), p)
			done <- err
		}()
		<-g.arrived
		mustAdd(t, m, "counter", 1)
		close(g.open)
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantState(t, m, "counter", `{"value":11}`)
	})
}

package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// add is the function that most tests propose to.
var add = sharedata.NewFunction("add", func(_ context.Context, c Counter, in Add) (Counter, error) {
	if c.Value+in.By < 0 {
		return c, sharedata.Reject("below zero")
	}
	c.Value += in.By
	return c, nil
})

var errBroken = errors.New("broken")

// broken is a function that fails.
var broken = sharedata.NewFunction("broken", func(context.Context, any, any) (any, error) { return nil, errBroken })

func newManager(t testing.TB, options *sharedata.Options) *sharedata.Manager {
	t.Helper()
	manager, err := sharedata.NewManager(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := manager.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return manager
}

func newMemory(t testing.TB, options *replay.MemoryOptions) *replay.Memory {
	t.Helper()
	memory, err := replay.NewMemory(options)
	if err != nil {
		t.Fatal(err)
	}
	return memory
}

// newCounter is a manager with a ShareData "counter" at the value, which knows
// add, broken and the functions.
func newCounter(t testing.TB, options *sharedata.Options, value int, functions ...*sharedata.Function) *sharedata.Manager {
	t.Helper()
	manager := newManager(t, options)
	createCounter(t, manager, "counter", value, functions...)
	return manager
}

func createCounter(t testing.TB, m *sharedata.Manager, id string, value int, functions ...*sharedata.Function) sharedata.Snapshot {
	t.Helper()
	snapshot, err := m.Create(context.Background(), id, Counter{value}, append(functions, add, broken)...)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func addition(id string, by int, key string) sharedata.Proposal {
	return sharedata.Proposal{ShareDataID: id, FunctionID: "add", Data: Add{by}, IdempotencyKey: key}
}

func mustAdd(t testing.TB, m *sharedata.Manager, id string, by int) sharedata.Verdict {
	t.Helper()
	verdict, err := m.Propose(context.Background(), addition(id, by, ""))
	if err != nil || !verdict.Accepted {
		t.Fatalf("add %d to %q: %+v, %v", by, id, verdict, err)
	}
	return verdict
}

func mustGet(t testing.TB, m *sharedata.Manager, id string) sharedata.Snapshot {
	t.Helper()
	snapshot, err := m.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func wantState(t testing.TB, m *sharedata.Manager, id, want string) {
	t.Helper()
	if snapshot := mustGet(t, m, id); string(snapshot.State) != want {
		t.Errorf("the state of %q is %s, want %s", id, snapshot.State, want)
	}
}

// wantHistory reads and checks the whole history, and compares its entries
// written as by line.
func wantHistory(t testing.TB, m *sharedata.Manager, id string, want ...string) {
	t.Helper()
	var got []string
	for _, e := range wholeHistory(t, m, id) {
		got = append(got, line(e))
	}
	if !slices.Equal(got, want) {
		t.Errorf("history of %q\n got %q\nwant %q", id, got, want)
	}
}

func wholeHistory(t testing.TB, m *sharedata.Manager, id string) []sharedata.Entry {
	t.Helper()
	var entries []sharedata.Entry
	for e, err := range m.History(context.Background(), id, replay.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	if _, err := m.VerifyHistory(context.Background(), id); err != nil {
		t.Error(err)
	}
	return entries
}

// line is an entry in short: "2 add {"by":1} accepted", "3 removed".
func line(e sharedata.Entry) string {
	text := fmt.Sprint(e.Revision(), " ", e.Type)
	if e.Type == sharedata.EntryTransaction {
		text = fmt.Sprint(e.Revision(), " ", e.FunctionID, " ", string(e.Data), " rejected")
		if e.Accepted {
			text = fmt.Sprint(e.Revision(), " ", e.FunctionID, " ", string(e.Data), " accepted")
		}
	}
	return text
}

// recorder is an observer that keeps its events.
type recorder struct {
	mu      sync.Mutex
	events  []sharedata.Event
	commits int
}

func (r *recorder) Observe(events []sharedata.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits++
	if len(events) == 0 {
		events = []sharedata.Event{{}} // a call without events, which no check accepts
	}
	r.events = append(r.events, events...)
}

func (r *recorder) all() []sharedata.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// lines are the events as by line, each with the state after it. A reset is
// "reset".
func (r *recorder) lines() []string {
	var lines []string
	for _, e := range r.all() {
		text := line(e.Entry) + " -> " + string(e.State)
		if e.Reset {
			text = fmt.Sprint("reset ", e.Type, " -> ", string(e.State))
		}
		lines = append(lines, text)
	}
	return lines
}

// wantContinuous checks that the events continue the snapshot without a gap,
// a repetition or a reset, each with the state that its entry vouches for.
func wantContinuous(t testing.TB, from sharedata.Snapshot, events []sharedata.Event) {
	t.Helper()
	next := from.Cursor.Next()
	for i, e := range events {
		if e.Reset || e.Cursor != next || e.ShareDataID != from.ID {
			t.Fatalf("event %d after %s is %q at %s, reset %v; want %s", i, from.Cursor, e.Type, e.Cursor, e.Reset, next)
		}
		next = next.Next()
		if (e.State == nil) != (e.Type == sharedata.EntryRemoved) {
			t.Errorf("event %s at %s has the state %q", e.Type, e.Cursor, e.State)
		}
	}
	if _, err := sharedata.Verify(func(yield func(sharedata.Entry, error) bool) {
		for _, e := range events {
			if !yield(e.Entry, nil) {
				return
			}
		}
	}); err != nil {
		t.Error(err)
	}
}

// store is a store whose methods can be intercepted. What is nil is passed on.
// The functions must be set while nothing uses the store.
type store struct {
	replay.Store
	load   func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error)
	append func(ctx context.Context, id string, batch replay.Batch) error
	read   func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error)
	find   func(ctx context.Context, id string, keys []string) ([]replay.Entry, error)
	ids    func(ctx context.Context) iter.Seq2[string, error]
}

func (s *store) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	if s.load != nil {
		return s.load(ctx, id, have)
	}
	return s.Store.Load(ctx, id, have)
}

func (s *store) Append(ctx context.Context, id string, batch replay.Batch) error {
	if s.append != nil {
		return s.append(ctx, id, batch)
	}
	return s.Store.Append(ctx, id, batch)
}

func (s *store) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	if s.read != nil {
		return s.read(ctx, id, after, limit)
	}
	return s.Store.Read(ctx, id, after, limit)
}

func (s *store) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	if s.find != nil {
		return s.find(ctx, id, keys)
	}
	return s.Store.Find(ctx, id, keys)
}

func (s *store) IDs(ctx context.Context) iter.Seq2[string, error] {
	if s.ids != nil {
		return s.ids(ctx)
	}
	return s.Store.IDs(ctx)
}

// gate blocks those who pass it until it is opened.
type gate struct {
	arrived chan struct{} // has one value for each call of pass
	open    chan struct{} // lets one pass for each value, and all once it is closed
}

func newGate() *gate {
	return &gate{arrived: make(chan struct{}, 1000), open: make(chan struct{})}
}

func (g *gate) pass() {
	g.arrived <- struct{}{}
	<-g.open
}

// held is add, but waits at a gate first.
func held(id string, g *gate) *sharedata.Function {
	return sharedata.NewFunction(id, func(_ context.Context, c Counter, in Add) (Counter, error) {
		g.pass()
		c.Value += in.By
		return c, nil
	})
}

// replies collects the replies to Submit.
type replies struct {
	mu  sync.Mutex
	got []reply
}

type reply struct {
	name    string
	verdict sharedata.Verdict
	err     error
}

func (a *replies) done(name string) func(sharedata.Verdict, error) {
	return func(v sharedata.Verdict, err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.got = append(a.got, reply{name, v, err})
	}
}

func (a *replies) all() []reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

func rawJSON(text string) json.RawMessage { return json.RawMessage(text) }

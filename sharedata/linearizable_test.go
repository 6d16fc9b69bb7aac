package sharedata_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// operation is one call and what came of it. begin and end are moments of one
// clock that all goroutines read: what ended before another began came first.
type operation struct {
	begin, end int64
	id         string
	kind       string // "add", "update", "create", "remove", "get"
	by         int    // of an add
	key        string // of an add
	value      int    // of an update or a create
	verdict    sharedata.Verdict
	snapshot   sharedata.Snapshot
	err        error
}

// cursor is the position of what the operation did or saw; zero for nothing.
func (o operation) cursor() replay.Cursor {
	if o.kind == "add" {
		return o.verdict.Cursor
	}
	return o.snapshot.Cursor
}

func before(a, b replay.Cursor) bool {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Revision, b.Revision)) < 0
}

// Several goroutines do random things to several ShareData through one or two
// managers. Then what they were given is checked against the histories.
func TestManager_Linearizable(t *testing.T) {
	for _, managers := range []int{1, 2} {
		t.Run(fmt.Sprint("managers=", managers), func(t *testing.T) {
			r := newRandomRun(t, managers)
			var wait sync.WaitGroup
			for worker := range uint64(6) {
				wait.Go(func() { r.work(rand.New(rand.NewPCG(worker, uint64(managers))), 250) })
			}
			wait.Wait()
			r.check(t)
		})
	}
}

type randomRun struct {
	managers []*sharedata.Manager
	clock    atomic.Int64
	all      []recorder // the observers of every ShareData, by manager

	mu         sync.Mutex
	operations []operation
	observed   []*observedRun
}

type observedRun struct {
	from   sharedata.Snapshot
	events recorder
}

func newRandomRun(t *testing.T, managers int) *randomRun {
	r := &randomRun{all: make([]recorder, managers)}
	options := &sharedata.Options{
		Store: newMemory(t, &replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1}),
		Kinds: []sharedata.Kind{sharedata.NewKind("counter", add)},
	}
	for i := range managers {
		m := newManager(t, options)
		m.ObserveAll(&r.all[i])
		r.managers = append(r.managers, m)
	}
	return r
}

func (r *randomRun) work(random *rand.Rand, steps int) {
	ctx := context.Background()
	for range steps {
		m := r.managers[random.IntN(len(r.managers))]
		o := operation{id: fmt.Sprint("counter-", random.IntN(3)), by: random.IntN(10) - 3, value: random.IntN(10)}
		choice := random.IntN(100)
		o.begin = r.clock.Add(1)
		switch {
		case choice < 65:
			o.kind = "add"
			if choice < 30 {
				o.key = fmt.Sprint("key-", random.IntN(60))
				o.by = 1 // a repeat proposes the same
			}
			o.verdict, o.err = m.Propose(ctx, addition(o.id, o.by, o.key))
		case choice < 70:
			o.kind = "update"
			o.snapshot, o.err = m.Update(ctx, o.id, Counter{o.value})
		case choice < 82:
			o.kind = "create"
			o.snapshot, o.err = m.CreateKind(ctx, o.id, "counter", Counter{o.value})
		case choice < 84:
			o.kind = "remove"
			o.err = m.Remove(ctx, o.id)
		case choice < 97:
			o.kind = "get"
			o.snapshot, o.err = m.Get(ctx, o.id)
		default:
			observed := new(observedRun)
			if observed.from, _, o.err = m.Observe(ctx, o.id, &observed.events); o.err == nil {
				r.mu.Lock()
				r.observed = append(r.observed, observed)
				r.mu.Unlock()
			}
			continue
		}
		o.end = r.clock.Add(1)
		r.mu.Lock()
		r.operations = append(r.operations, o)
		r.mu.Unlock()
	}
}

func (r *randomRun) check(t *testing.T) {
	histories := r.histories(t)
	at := make(map[string]map[replay.Cursor]sharedata.Event)
	for id, history := range histories {
		at[id] = replayed(t, history)
	}
	r.checkReplies(t, at)
	for id := range histories {
		r.checkOrder(t, id)
	}
	for i, observed := range r.observed {
		events := observed.events.all()
		if len(r.managers) > 1 { // up to where another manager removed it
			if reset := slices.IndexFunc(events, func(e sharedata.Event) bool { return e.Reset }); reset >= 0 {
				events = events[:reset]
			}
		}
		wantContinuous(t, observed.from, events)
		if t.Failed() {
			t.Fatalf("that was observer %d", i)
		}
	}
}

// histories merges the events of the observers of every ShareData. Each manager notifies
// its own of what it has committed, so nothing is missing.
func (r *randomRun) histories(t *testing.T) map[string][]sharedata.Event {
	events := make(map[string]map[replay.Cursor]sharedata.Event)
	for i := range r.all {
		for _, e := range r.all[i].all() {
			if e.Reset {
				continue
			}
			if events[e.ShareDataID] == nil {
				events[e.ShareDataID] = make(map[replay.Cursor]sharedata.Event)
			}
			if known, again := events[e.ShareDataID][e.Cursor]; again && (known.Hash != e.Hash || len(r.managers) == 1) {
				t.Fatalf("notified twice, or of two entries, at %s of %q", e.Cursor, e.ShareDataID)
			}
			events[e.ShareDataID][e.Cursor] = e
		}
	}
	histories := make(map[string][]sharedata.Event)
	for id, byCursor := range events {
		histories[id] = slices.SortedFunc(maps.Values(byCursor), func(a, b sharedata.Event) int {
			return cmp.Or(cmp.Compare(a.Cursor.Epoch, b.Cursor.Epoch), cmp.Compare(a.Revision(), b.Revision()))
		})
	}
	return histories
}

// replayed checks a history, of all its epochs, by applying its entries again.
func replayed(t *testing.T, history []sharedata.Event) map[replay.Cursor]sharedata.Event {
	byCursor := make(map[replay.Cursor]sharedata.Event)
	var value int
	var last sharedata.Event
	keys := make(map[string]bool)
	for _, e := range history {
		switch {
		case e.Type == sharedata.EntryCreated:
			if last.Type != "" && last.Type != sharedata.EntryRemoved {
				t.Fatalf("created at %s after %s at %s", e.Cursor, last.Type, last.Cursor)
			}
			clear(keys)
		case e.Cursor != last.Cursor.Next() || e.Previous != last.Hash:
			t.Fatalf("%s at %s after %s", e.Type, e.Cursor, last.Cursor)
		}
		switch e.Type {
		case sharedata.EntryCreated, sharedata.EntryUpdated:
			c, _ := sharedata.Decode[Counter](e.State)
			value = c.Value
		case sharedata.EntryTransaction:
			in, _ := sharedata.Decode[Add](e.Data)
			if want := value+in.By >= 0; e.Accepted != want {
				t.Fatalf("%d was added to %d: accepted %v at %s", in.By, value, e.Accepted, e.Cursor)
			}
			if e.Accepted {
				value += in.By
			}
			if e.IdempotencyKey != "" && keys[e.IdempotencyKey] {
				t.Fatalf("the key %q took effect again at %s", e.IdempotencyKey, e.Cursor)
			}
			keys[e.IdempotencyKey] = true
		}
		if want := fmt.Sprintf(`{"value":%d}`, value); e.Type != sharedata.EntryRemoved && string(e.State) != want {
			t.Fatalf("the state at %s is %s, want %s", e.Cursor, e.State, want)
		}
		byCursor[e.Cursor] = e
		last = e
	}
	return byCursor
}

// checkReplies compares every reply with the entry that it names, and every
// entry with the operations that name it.
func (r *randomRun) checkReplies(t *testing.T, at map[string]map[replay.Cursor]sharedata.Event) {
	asked := make(map[string]int) // operations by the entry that they made
	for _, o := range r.operations {
		e := at[o.id][o.cursor()]
		var ok bool
		switch {
		case o.err != nil:
			ok = errors.Is(o.err, sharedata.ErrUnknownShareData) && o.kind != "create" || errors.Is(o.err, sharedata.ErrExists) && o.kind == "create"
		case o.kind == "remove":
			ok = true
			asked[o.id+" removed"]++
			continue
		case o.kind == "add":
			in, _ := sharedata.Decode[Add](e.Data)
			ok = e.Type == sharedata.EntryTransaction && e.Accepted == o.verdict.Accepted && e.Reason == o.verdict.Reason &&
				in.By == o.by && e.IdempotencyKey == o.key
		default:
			ok = string(e.State) == string(o.snapshot.State) && e.Type != "" &&
				(o.kind == "get" || o.kind == "create" && e.Type == sharedata.EntryCreated || o.kind == "update" && e.Type == sharedata.EntryUpdated)
		}
		if !ok {
			t.Fatalf("%+v is not what happened: %+v", o, e)
		}
		if o.err == nil && o.kind != "get" && !o.verdict.Duplicate {
			asked[o.id+" "+e.Cursor.String()]++
		}
	}
	removals := 0
	for id, byCursor := range at {
		for cursor, e := range byCursor {
			if e.Type == sharedata.EntryRemoved {
				removals++
				asked[id+" removed"]--
			} else if n := asked[id+" "+cursor.String()]; n != 1 {
				t.Errorf("%d operations say that they made the %s at %s of %q", n, e.Type, cursor, id)
			}
		}
		if n := asked[id+" removed"]; n != 0 {
			t.Errorf("%q was removed %d times more often than its histories ended", id, n)
		}
	}
	t.Logf("%d operations, %d removals, %d observers", len(r.operations), removals, len(r.observed))
}

// checkOrder checks that what ended before another began is not after it in the
// history. Gets are only as fresh as what their own manager knows.
func (r *randomRun) checkOrder(t *testing.T, id string) {
	var made []operation
	for _, o := range r.operations {
		if o.id != id || o.cursor().IsZero() || o.verdict.Duplicate || o.kind == "get" && len(r.managers) > 1 {
			continue
		}
		made = append(made, o)
	}
	for _, a := range made {
		for _, b := range made {
			if a.end < b.begin && before(b.cursor(), a.cursor()) {
				t.Fatalf("%+v\nended before\n%+v\nbegan, but is after it in the history", a, b)
			}
		}
	}
}

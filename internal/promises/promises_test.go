package promises

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// Promise 1: a subscriber sees the transactions of one ShareData in the order
// of their revisions.
func TestOrdered(t *testing.T) {
	s := load{subscribers: 20, connections: 1, frames: 1, clients: 4, proposers: 6, proposals: 150, size: 200}
	h := newHarness(t, nil, s.options)
	s.run(h, seedOf(t))
	h.check(checker.Options{Complete: true}, checker.Summary{Live: 500, Accepted: 400, Rejected: 10, Refused: 10})
}

// Promise 2: between a state and the end of that subscription a subscriber sees
// every later revision exactly once, and state, replayed and live frames never
// interleave.
func TestGaplessOnce(t *testing.T) {
	s := load{
		options:     realtime.Options{MaxBufferedBytes: 32 << 10, ReplayWindow: 200},
		subscribers: 16, connections: 12, frames: 300, stalls: 60,
		clients: 6, proposers: 5, proposals: 150, size: 4000, updates: 5, removals: 5,
	}
	h := newHarness(t, nil, s.options)
	s.run(h, seedOf(t))
	h.check(checker.Options{Window: s.options.ReplayWindow, Complete: true},
		checker.Summary{States: 100, Live: 500, Replayed: 50, Resumed: 10, Gaps: 3, Removals: 1, Disconnects: 50})
}

// Promise 3: resubscribing with a cursor inside the window yields exactly what
// came after it; outside the window, or from another epoch, the subscriber gets
// "cursor not found" and the snapshot.
func TestResumable(t *testing.T) {
	const entries, window, kept = 60, 20, 15
	small, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: kept})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		store     replay.Store
		reachable int // the largest number of missed entries that are replayed
	}{
		{"every cursor, window of 20", nil, window},
		{"every cursor, store of 15", small, kept},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t, test.store, realtime.Options{ReplayWindow: window})
			id := counters[0]
			h.recreate(id) // so that an earlier epoch exists
			proposer := h.connect("proposer")
			for i := range entries - 1 {
				if i == entries-window/2 {
					h.update(id, 7)
					continue
				}
				proposer.propose(id, "add", json.RawMessage(fmt.Sprintf(`{"by":%d}`, i%3-1)), "")
				proposer.awaitReplies()
			}
			snapshot, err := h.manager.Get(h.ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			head := snapshot.Cursor
			if head.Revision != entries {
				t.Fatalf("the history has %d entries, want %d", head.Revision, entries)
			}
			for revision := uint64(1); revision <= entries; revision++ {
				since := replay.Cursor{Epoch: head.Epoch, Revision: revision}
				expectReplay(h, id, since.String(), head, int(entries-revision), int(entries-revision) <= test.reachable)
			}
			for _, since := range []string{
				replay.Cursor{Epoch: head.Epoch, Revision: entries + 1}.String(),
				replay.Cursor{Epoch: head.Epoch - 1, Revision: entries}.String(),
				replay.Cursor{Epoch: head.Epoch}.String(),
				"0-0", "-", "60", " " + head.String(), "0" + head.String(), "18446744073709551616-1",
			} {
				expectReplay(h, id, since, head, 0, false)
			}
			h.check(checker.Options{Window: window, Retention: kept}, checker.Summary{States: entries, Replayed: 50, Gaps: 30})
		})
	}
	t.Run("random load", func(t *testing.T) {
		s := load{
			options:     realtime.Options{ReplayWindow: 30},
			subscribers: 12, connections: 20, frames: 80,
			clients: 6, proposers: 5, proposals: 120, size: 300, updates: 10, removals: 6,
		}
		h := newHarness(t, nil, s.options)
		s.run(h, seedOf(t))
		h.check(checker.Options{Window: s.options.ReplayWindow, Complete: true},
			checker.Summary{Resumed: 10, Replayed: 50, Gaps: 10, Removals: 1, Disconnects: 50})
	})
}

// expectReplay subscribes with a cursor and compares what is received before the
// reply to a ping.
func expectReplay(h *harness, id, since string, head replay.Cursor, missed int, resumed bool) {
	h.t.Helper()
	p := h.connect("late")
	var replayed, notFound int
	var state *wire.State
	var mu sync.Mutex
	pong := make(chan struct{})
	h.received = func(frame wire.ServerMessage) {
		mu.Lock()
		defer mu.Unlock()
		switch f := frame.(type) {
		case *wire.State:
			state = f
		case *wire.Transaction:
			replayed++
		case *wire.Lifecycle:
			replayed++
		case *wire.Error:
			notFound++
		case *wire.Pong:
			close(pong)
		}
	}
	defer func() { h.received = nil }()
	p.subscribe(id, since)
	wantReplayed, wantNotFound := missed, 0
	if !resumed {
		wantReplayed, wantNotFound = 0, 1
	}
	p.await(func() bool {
		mu.Lock()
		defer mu.Unlock()
		return state != nil && replayed >= wantReplayed && notFound >= wantNotFound
	}, h.ctx.Done())
	p.send(&wire.Ping{CorrelationID: "end"})
	<-pong
	p.cut()
	mu.Lock()
	defer mu.Unlock()
	if state.Cursor != head.String() || int(state.Replaying) != wantReplayed || replayed != wantReplayed || notFound != wantNotFound {
		h.t.Errorf("since %q: state at %s replaying %d, then %d frames and %d errors; want %d frames and %d errors",
			since, state.Cursor, state.Replaying, replayed, notFound, wantReplayed, wantNotFound)
	}
}

// Promise 4: no frame and no result leaves before the store has appended the
// entry; also when the store fails, before or after the append. A result whose code
// says that nothing happened is true.
func TestCommittedBeforeSeen(t *testing.T) {
	seed := seedOf(t)
	memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	store := &faultyStore{
		Store: memory, random: rand.New(rand.NewPCG(seed, 0)),
		appended: make(map[string]map[replay.Cursor]bool), reliable: true,
	}
	s := load{subscribers: 8, connections: 4, frames: 200, clients: 3, proposers: 6, proposals: 200, size: 300}
	h := newHarness(t, store, s.options)
	store.reliable = false
	h.received = func(frame wire.ServerMessage) {
		id, cursor := "", ""
		switch f := frame.(type) {
		case *wire.State:
			id, cursor = f.ShareDataID, f.Cursor
		case *wire.Transaction:
			id, cursor = f.ShareDataID, f.TransactionID
		case *wire.Lifecycle:
			id, cursor = f.ShareDataID, f.Cursor
		case *wire.ProposalResult:
			if cursor = f.TransactionID; cursor != "" && !store.hasAny(cursor) {
				t.Errorf("a result refers to %s, which the store does not have", cursor)
			}
			return
		default:
			return
		}
		if !store.has(id, cursor) {
			t.Errorf("%T of %s at %s was seen before the store had it", frame, id, cursor)
		}
	}
	s.run(h, seed)
	h.check(checker.Options{Complete: true, Attributed: true}, checker.Summary{Live: 300, Accepted: 300, Refused: 10})
	t.Logf("%d appends failed, the replies of %d were lost", store.failed, store.lost)
	if store.failed < 3 || store.lost < 3 {
		t.Error("the store failed so rarely that the test proves nothing")
	}
}

// Promise 6: a proposal with an idempotency key takes effect at most once
// however often it is sent, and a repeat gets the first verdict back.
func TestOnceOnly(t *testing.T) {
	seed := seedOf(t)
	h := newHarness(t, nil, realtime.Options{})
	id := counters[0]
	const proposers, keys = 8, 60
	var wait sync.WaitGroup
	for i := range proposers {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		if i < proposers/2 {
			c := h.newGoClient(fmt.Sprint("client-", i), 64)
			c.network.breakAfter(rand.New(rand.NewPCG(seed, uint64(100+i))), 4<<10)
			wait.Go(func() {
				for _, key := range rng.Perm(keys) {
					c.propose(id, "add", json.RawMessage(`{"by":1}`), fmt.Sprint("key-", key))
				}
				c.network.repair()
			})
			continue
		}
		wait.Go(func() {
			for _, key := range rng.Perm(keys) {
				// Each proposal has a connection of its own. Half of them are cut
				// without waiting for the result.
				p := h.connect(fmt.Sprint("connection-", i))
				p.propose(id, "add", json.RawMessage(`{"by":1}`), fmt.Sprint("key-", key))
				if rng.IntN(2) == 0 {
					p.awaitReplies()
				}
				p.cut()
			}
		})
	}
	wait.Wait()
	snapshot, err := h.manager.Get(h.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"value":%d}`, keys); string(snapshot.State) != want {
		t.Errorf("after %d keys were proposed by %d proposers each, the counter is %s, want %s", keys, proposers, snapshot.State, want)
	}
	h.check(checker.Options{}, checker.Summary{Accepted: keys, Duplicates: 2 * keys})
}

// Promise 7: a stalled, slow or hostile connection costs only itself, and a
// function that panics, loops or blocks past its deadline harms one proposal.
func TestIsolated(t *testing.T) {
	const limit = 64 << 10
	var overflows, most atomic.Int64
	h := newHarness(t, nil, realtime.Options{
		MaxBufferedBytes: limit,
		Observer: realtime.Observer{OnOverflow: func(o realtime.OverflowEvent) {
			overflows.Add(1)
			most.Store(max(most.Load(), int64(o.Buffered)))
		}},
	})
	id := documents[0]
	var healthy []*rawConn
	for i := range 20 {
		p := h.connect(fmt.Sprint("subscriber-", i))
		p.subscribe(id, "")
		healthy = append(healthy, p)
	}
	stalled := h.connect("stalled")
	stalled.subscribe(id, "")
	stalled.await(func() bool { return stalled.frames > 0 }, nil)
	resume := stalled.stall()
	defer resume()

	// The function of one proposal blocks, without a deadline, meanwhile.
	blocker := h.connect("blocker")
	blocker.propose(counters[1], "hold", json.RawMessage("1"), "")

	proposer := h.connect("proposer")
	document := json.RawMessage(fmt.Sprintf(`{"pad":"%0*d"}`, 8<<10, 0))
	for i := 0; overflows.Load() == 0 && h.ctx.Err() == nil; i++ {
		sendHostile(h, i)
		// A function that fails harms its own proposal only.
		proposer.propose(counters[0], []string{"panic", "block", "ignore its deadline"}[min(i, 2)%3], json.RawMessage("1"), "")
		proposer.propose(counters[0], "add", json.RawMessage(`{"by":1}`), "")
		proposer.propose(id, "set", document, "")
		if !proposer.awaitReplies() {
			t.Fatal("the proposer's connection ended")
		}
	}
	snapshot, err := h.manager.Get(h.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range healthy {
		if !p.await(func() bool { return p.cursors[id] == snapshot.Cursor.String() }, h.ctx.Done()) {
			t.Errorf("a subscriber got to %s instead of %s", p.cursor(id), snapshot.Cursor)
		}
	}
	if blocker.await(func() bool { return blocker.replies > 0 }, closedChannel()) {
		t.Error("a proposal has a result while its function blocks")
	}
	h.release()
	if !blocker.awaitReplies() {
		t.Error("a proposal has no result after its function returned")
	}
	resume()
	<-stalled.ended
	if stalled.code != codes.CloseFellBehind {
		t.Errorf("the stalled connection was closed with %d, want %d", stalled.code, codes.CloseFellBehind)
	}
	if overflows.Load() != 1 {
		t.Errorf("%d connections fell behind, want only the stalled one", overflows.Load())
	}
	if bytes := most.Load(); bytes > limit+int64(len(document))+1000 {
		t.Errorf("%d bytes waited for the stalled connection; the limit is %d and one frame", bytes, limit)
	}
	h.check(checker.Options{Complete: true}, checker.Summary{FellBehind: 1, Refused: 3, Accepted: 3})
	for _, p := range append(healthy, blocker, proposer) {
		p.cut()
	}
}

func closedChannel() <-chan struct{} {
	closed := make(chan struct{})
	close(closed)
	return closed
}

// sendHostile opens a connection, sends hostile messages, and leaves.
func sendHostile(h *harness, i int) {
	ws, _, err := websocket.Dial(h.ctx, h.url, nil)
	if err != nil {
		h.t.Error(err)
		return
	}
	defer ws.CloseNow()
	for _, message := range [][]byte{
		[]byte("{"),
		[]byte(`{"v":1,"type":"subscribe","shareDataId":"` + fmt.Sprint("nobody-", i) + `"}`),
		make([]byte, 2<<20),
		[]byte(`{"v":1,"type":"ping","correlationId":"1","correlationId":"2"}`),
	}[i%4:] {
		if ws.Write(h.ctx, websocket.MessageText, message) != nil {
			return
		}
	}
}

// Promise 8: each entry carries the hash of the one before; anyone holding a
// history can check that nothing was changed, removed or reordered.
func TestAuditable(t *testing.T) {
	s := load{proposers: 4, proposals: 100, size: 300, updates: 5}
	h := newHarness(t, nil, s.options)
	s.run(h, seedOf(t))
	for _, id := range everyID {
		// An auditor has the history as JSON, and the hash of its end.
		var copies []json.RawMessage
		var end sharedata.Hash
		for entry, err := range h.manager.History(h.ctx, id, replay.Cursor{}) {
			if err != nil {
				t.Fatal(err)
			}
			text, err := entry.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			copies, end = append(copies, text), entry.Hash
		}
		verify := func(copies []json.RawMessage) error {
			chain, err := sharedata.Verify(func(yield func(sharedata.Entry, error) bool) {
				for _, text := range copies {
					var entry sharedata.Entry
					err := json.Unmarshal(text, &entry)
					if !yield(entry, err) {
						return
					}
				}
			})
			if err == nil && chain.Hash != end {
				err = fmt.Errorf("it ends with %v instead of %v", chain.Hash, end)
			}
			return err
		}
		if err := verify(copies); err != nil {
			t.Errorf("%s does not verify: %v", id, err)
		}
		n := len(copies)
		for name, changed := range map[string][]json.RawMessage{
			"without its end":    copies[:n-1],
			"without an entry":   append(append([]json.RawMessage{}, copies[:n/2]...), copies[n/2+1:]...),
			"with one moved":     append(append([]json.RawMessage{}, copies[1], copies[0]), copies[2:]...),
			"with one repeated":  append(append([]json.RawMessage{}, copies[:n/2+1]...), copies[n/2:]...),
			"with one rewritten": append(append([]json.RawMessage{}, copies[:n/2]...), append([]json.RawMessage{rewritten(t, copies[n/2])}, copies[n/2+1:]...)...),
		} {
			if verify(changed) == nil {
				t.Errorf("%s verifies %s", id, name)
			}
		}
	}
	h.check(checker.Options{}, checker.Summary{Accepted: 200})
}

// rewritten returns the entry with another time.
func rewritten(t *testing.T, text json.RawMessage) json.RawMessage {
	var entry sharedata.Entry
	if err := json.Unmarshal(text, &entry); err != nil {
		t.Fatal(err)
	}
	entry.Time = entry.Time.Add(1)
	changed, err := json.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

package promises

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/sharedata"
)

// list is a large state of which functions change a little.
type list struct {
	Items []listItem `json:"items"`
}

type listItem struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// listKind has functions that count an item: one returns the state, one a patch.
var listKind = sharedata.NewKind("list",
	sharedata.NewFunction("count", func(_ context.Context, l list, index int) (list, error) {
		if index < 0 {
			return l, sharedata.Reject("there is no such item")
		}
		l.Items[index].Count++
		return l, nil
	}),
	sharedata.NewPatchFunction("patch", func(_ context.Context, d sharedata.Document, index int) (patch sharedata.Patch, err error) {
		var count int
		path := fmt.Sprintf("/items/%d/count", index)
		if found, err := d.Decode(path, &count); !found || err != nil {
			return patch, sharedata.Reject("there is no such item")
		}
		patch.Replace(path, count+1)
		return patch, nil
	}),
)

// createList creates a ShareData with n items of 132 bytes.
func (h *harness) createList(id string, n int) {
	h.t.Helper()
	l := list{Items: make([]listItem, n)}
	for i := range l.Items {
		l.Items[i] = listItem{fmt.Sprintf("%0108d", i), 10}
	}
	if _, err := h.manager.CreateKind(h.ctx, id, "list", l); err != nil {
		h.t.Fatal(err)
	}
}

// change runs a function of a list n times, and returns the position after that.
func (h *harness) change(id, function string, n int) string {
	h.t.Helper()
	for i := range n {
		if _, err := h.manager.Propose(h.ctx, sharedata.Proposal{ShareDataID: id, FunctionID: function, Data: i}); err != nil {
			h.t.Fatal(err)
		}
	}
	snapshot, err := h.manager.Get(h.ctx, id)
	if err != nil {
		h.t.Fatal(err)
	}
	h.recorder.Final(snapshot)
	return snapshot.Cursor.String()
}

// reject runs a function of a list n times, which rejects that, and returns the position
// after that.
func (h *harness) reject(id string, n int) string {
	h.t.Helper()
	for range n {
		if v, err := h.manager.Propose(h.ctx, sharedata.Proposal{ShareDataID: id, FunctionID: "count", Data: -1}); err != nil || v.Accepted {
			h.t.Fatalf("%+v, %v", v, err)
		}
	}
	return h.change(id, "", 0)
}

// awaitCursor waits until a connection is at a cursor.
func (p *rawConn) awaitCursor(id, cursor string) {
	if !p.await(func() bool { return p.cursors[id] == cursor }, p.harness.ctx.Done()) {
		p.harness.t.Errorf("a subscriber got to %s of %s instead of %s", p.cursor(id), id, cursor)
	}
}

// Promise 2, with conflation: a subscriber sees every later revision exactly once, or is
// told how many it skipped.
func TestGaplessOnce_Conflated(t *testing.T) {
	s := load{
		options:     realtime.Options{MaxBufferedBytes: 64 << 10, ReplayWindow: 200},
		subscribers: 12, patched: 8, conflated: 8, connections: 8, frames: 300, stalls: 100,
		clients: 2, proposers: 5, proposals: 150, size: 6000, updates: 5, removals: 2,
	}
	h := newHarness(t, nil, s.options)
	s.run(h, seedOf(t))
	h.check(checker.Options{Window: s.options.ReplayWindow, Complete: true},
		checker.Summary{States: 50, Live: 500, Replayed: 50, Resumed: 10, Skips: 5, LeftOut: 5})
}

// Promise 3, with patches: a subscriber that has the state is sent what changed, and no
// state, if its cursor is inside the window, and the state otherwise.
func TestResumable_WithoutState(t *testing.T) {
	const window = 10
	h := newHarness(t, nil, realtime.Options{ReplayWindow: window})
	h.createList("list", 40)
	at := h.change("list", "count", 1)
	p := h.connectAfter(nil, "subscriber", asks{patches: true})
	p.subscribe("list", "")
	p.awaitCursor("list", at)
	for missed := range window + 2 {
		p.cut()
		since := p.cursor("list")
		at = h.change("list", []string{"count", "patch"}[missed%2], missed)
		p = h.connectAfter(p, "subscriber", asks{patches: true})
		p.subscribe("list", since)
		p.awaitCursor("list", at)
	}
	p.await(func() bool { return h.recorder.Summary().Gaps > 0 }, h.ctx.Done()) // it follows the state
	p.cut()
	h.check(checker.Options{Window: window, Complete: true}, checker.Summary{LeftOut: window + 1, Patched: window * (window + 1) / 2, Gaps: 1})
}

// Promises 1 to 3 for a Go client with patches: its connections are cut in the middle of
// replays, and it goes on from there. No state is transferred again, and it never has
// another one than the server.
func TestResumable_CutReplays(t *testing.T) {
	h := newHarness(t, nil, realtime.Options{ReplayWindow: 1000})
	h.createList("list", 200)
	c := h.newGoClient("client", 64)
	c.watch(h.ctx, "list")
	c.awaitCursor("list", h.change("list", "patch", 1))
	c.network.breakAfter(rand.New(rand.NewPCG(seedOf(t), 1)), 3<<10)
	c.network.interrupt()
	var at string
	for range 20 {
		at = h.change("list", "patch", 20)
	}
	c.awaitCursor("list", at)
	c.network.repair()
	c.awaitCursor("list", h.change("list", "count", 5))
	c.client.Close()
	c.watching.Wait()
	h.check(checker.Options{Window: 1000}, checker.Summary{Resumed: 10, Replayed: 20, Patched: 405})
	if s := h.recorder.Summary(); s.Gaps > 0 {
		t.Errorf("%d gaps", s.Gaps)
	}
}

// Promise 3 across a restart of a server with a durable store: a Go client that missed
// little is resumed, and one that missed more than the window has a gap.
func TestResumable_Restart(t *testing.T) {
	const window = 10
	for _, test := range []struct {
		missed, gaps int
	}{{window, 0}, {window + 1, 1}} {
		path := t.TempDir() + "/histories.db"
		store := openBolt(t, path)
		h := newHarness(t, store, realtime.Options{ReplayWindow: window})
		id := fmt.Sprint("list-", test.missed)
		h.createList(id, 40)
		c := h.newGoClient("client", 64)
		c.watch(h.ctx, id)
		c.awaitCursor(id, h.change(id, "patch", 3))
		c.network.redirect("")
		h.stop()
		store.Close()

		store = openBolt(t, path)
		h.start(store, realtime.Options{ReplayWindow: window})
		at := h.change(id, "count", test.missed)
		c.network.redirect(h.address)
		c.awaitCursor(id, at)
		c.client.Close()
		c.watching.Wait()
		h.check(checker.Options{Window: window}, checker.Summary{Resumed: 1 - test.gaps, Gaps: test.gaps})
		if s := h.recorder.Summary(); s.Gaps != test.gaps {
			t.Errorf("%d missed: %d gaps, want %d", test.missed, s.Gaps, test.gaps)
		}
		h.stop()
		store.Close()
	}
}

func openBolt(t *testing.T, path string) *bolt.Store {
	t.Helper()
	store, err := bolt.Open(path, &bolt.Options{MaxEntries: 20})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// wrongPatchConn is a connection that changes the value in one patch.
type wrongPatchConn struct {
	net.Conn
	altered *atomic.Bool
}

func (c wrongPatchConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if i := bytes.Index(p[:n], []byte(`"value":11}`)); i >= 0 && c.altered.CompareAndSwap(false, true) {
		p[i+len(`"value":`)] = '2'
	}
	return n, err
}

// A Go client whose state is not the server's finds that out by a hash, has a gap, and
// gets the state.
func TestClient_WrongState(t *testing.T) {
	h := newHarness(t, nil, realtime.Options{})
	h.createList("list", 40)
	var altered atomic.Bool
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return wrongPatchConn{conn, &altered}, err
	}
	c, err := client.New(h.url, &client.Options{HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	gap, done := false, ""
	for event, err := range c.Subscribe("list").Events(h.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := event.(type) {
		case *client.State:
			if !gap {
				done = h.change("list", "patch", 32)
				break
			}
			snapshot, err := h.manager.Get(h.ctx, "list")
			if err != nil {
				t.Fatal(err)
			}
			if string(e.CurrentState) != string(snapshot.State) || e.Cursor != done {
				t.Errorf("after the gap, the client has the state at %s, which is not the server's at %s", e.Cursor, done)
			}
			return
		case *client.Gap:
			gap = true
		case *client.Transaction:
			if e.TransactionID == done {
				t.Fatal("the client did not notice that its state is wrong")
			}
		}
	}
}

// What subscribers with patches receive, in bytes, depends on what changed, not on the
// state, which has 256 KiB here.
func TestPatches_Bytes(t *testing.T) {
	const items, most = 2048, 300
	h := newHarness(t, nil, realtime.Options{})
	h.createList("list", items)
	at := h.change("list", "count", 1)
	p := h.connectAfter(nil, "subscriber", asks{patches: true})
	received := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.bytes
	}
	p.subscribe("list", "")
	p.awaitCursor("list", at)
	if state := received(); state < 256<<10 {
		t.Errorf("the state has %d bytes only", state)
	}
	for _, function := range []string{"count", "patch", "reject"} {
		before := received()
		if function == "reject" {
			at = h.reject("list", 32)
		} else {
			at = h.change("list", function, 32)
		}
		p.awaitCursor("list", at)
		t.Logf("%s: %d bytes for each transaction", function, (received()-before)/32)
		if each := (received() - before) / 32; each > most {
			t.Errorf("%s: %d bytes for each transaction, at most %d are expected", function, each, most)
		}
	}
	p.cut()
	at = h.change("list", "patch", 10)
	since := p.cursor("list")
	p = h.connectAfter(p, "subscriber", asks{patches: true})
	p.subscribe("list", since)
	p.awaitCursor("list", at)
	p.cut()
	t.Logf("%d bytes for a reconnect that missed 10 changes", received())
	if received() > 5000 {
		t.Errorf("%d bytes for a reconnect that missed 10 changes, at most 5,000 are expected", received())
	}
	h.check(checker.Options{}, checker.Summary{LeftOut: 1, Patched: 3*32 + 10})
}

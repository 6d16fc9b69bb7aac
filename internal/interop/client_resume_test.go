package interop_test

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
)

// heartbeat is a short interval, so that a test sees several.
const heartbeat = 50 * time.Millisecond

// lost are the events of the published client when its connection breaks.
var lost = []string{"close 1006", "reconnecting"}

func TestPublishedClient_Resumes(t *testing.T) {
	s, c := subscribeOurs(t, nil)
	s.add(2)
	c.want(countedTo(1, 2)...)

	s.proxy.cut()
	c.want(lost...)
	s.add(2)
	s.propose("counter", "add", addition{-9})
	last := s.propose("counter", "add", addition{1})
	queued := c.beginPropose(addOne)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":5}, last #7`)
	c.want(replayedTo(3, 4)...)
	c.want("#6 of counter rejected, replayed", "#7 of counter accepted, replayed")
	c.want(`#8 of counter accepted: {"value":6}`)
	got := c.resultOf(queued)
	if !got.Accepted {
		t.Errorf("result %+v", got)
	}
	c.wantCursor("counter", got.TransactionID)
	if got.TransactionID == last {
		t.Errorf("two transactions have the id %s", last)
	}

	// Nothing was missed, and nothing is replayed.
	s.proxy.cut()
	c.want(lost...)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":6}, last #8`)
	c.wantCursor("counter", got.TransactionID)
	s.add(1)
	c.want(`#9 of counter accepted: {"value":7}`)
}

func TestPublishedClient_ResumesFromState(t *testing.T) {
	s := startOurs(t, nil)
	s.add(1)
	c := connectClient(t, s.proxy.url(), nil)
	c.subscribe("counter", `state of counter: {"value":1}, last #2`)
	s.proxy.cut()
	c.want(lost...)
	s.add(1)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":2}, last #3`)
	c.want(replayedTo(2, 2)...)
}

func TestPublishedClient_NoCursor(t *testing.T) {
	s, c := subscribeOurs(t, nil)
	s.proxy.cut()
	c.want(lost...)
	s.add(2)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":2}, last #3`)
	s.add(1)
	c.want(countedTo(3, 3)...)
}

func TestPublishedClient_ResumesAll(t *testing.T) {
	s := startOurs(t, nil)
	s.create("doc", 0)
	c := connectClient(t, s.proxy.url(), nil)
	c.subscribe("counter", `state of counter: {"value":0}, last none`)
	c.subscribe("doc", `state of doc: 0, last none`)
	s.add(1)
	c.want(countedTo(1, 1)...)
	s.propose("doc", "set", 1)
	c.want(`#2 of doc accepted: 1`)
	s.proxy.cut()
	c.want(lost...)
	s.add(1)
	s.propose("doc", "set", 2)
	s.proxy.setTarget(s.address)
	c.want("open")
	got := make(map[string][]string)
	for range 4 {
		e := c.next()
		got[e.Frame.ShareDataID] = append(got[e.Frame.ShareDataID], e.String())
	}
	want := map[string][]string{
		"counter": {`state of counter: {"value":2}, last #3`, "#3 of counter accepted, replayed"},
		"doc":     {`state of doc: 2, last #3`, "#3 of doc accepted, replayed"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestPublishedClient_LargeReplay(t *testing.T) {
	const missed = 500
	s, c := subscribeOurs(t, &realtime.Options{ReplayWindow: missed, MaxBufferedBytes: 16 << 10})
	s.add(1)
	c.want(countedTo(1, 1)...)
	s.proxy.cut()
	c.want(lost...)
	s.add(missed)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":501}, last #502`)
	c.want(replayedTo(2, 501)...)
	s.add(1)
	c.want(countedTo(502, 502)...)
}

func TestPublishedClient_CursorTooOld(t *testing.T) {
	s, c := subscribeOurs(t, &realtime.Options{ReplayWindow: 3})
	s.add(1)
	c.want(countedTo(1, 1)...)

	s.proxy.cut()
	c.want(lost...)
	s.add(4)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":5}, last #6`, "error replay-cursor-not-found")
	s.add(1)
	c.want(countedTo(6, 6)...)

	// It resumes from the state.
	s.proxy.cut()
	c.want(lost...)
	s.add(3)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":9}, last #10`)
	c.want(replayedTo(7, 9)...)
}

func TestPublishedClient_OtherEpoch(t *testing.T) {
	s, c := subscribeOurs(t, nil)
	s.add(3)
	c.want(countedTo(1, 3)...)
	s.proxy.cut()
	c.want(lost...)
	s.remove("counter")
	s.create("counter", counter{})
	s.add(3) // the same revisions
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":3}, last #4`, "error replay-cursor-not-found")
	s.add(1)
	c.want(countedTo(4, 4)...)
}

// The published client expects every "updated" frame to have the state. A replayed
// one would have none, or an old one, so it is not sent.
func TestPublishedClient_NoReplayedUpdate(t *testing.T) {
	s, c := subscribeOurs(t, nil)
	s.add(1)
	s.update("counter", counter{10})
	c.want(`#2 of counter accepted: {"value":1}`, `counter updated: {"value":10}`)
	s.proxy.cut()
	c.want(lost...)
	s.update("counter", counter{20})
	s.add(1)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":21}, last #5`)
	for {
		switch e := c.next(); {
		case e.Event == "lifecycle" && e.Frame.CurrentState == nil:
			t.Errorf("event %s", e)
		case e.Event == "transaction":
			if want := "#5 of counter accepted, replayed"; e.String() != want {
				t.Errorf("event %s, want %s", e, want)
			}
			return
		}
	}
}

func TestPublishedClient_1001(t *testing.T) {
	s := startOurs(t, nil)
	next := serve(t, s.manager, nil)
	c := connectClient(t, s.proxy.url(), nil)
	c.subscribe("counter", `state of counter: {"value":0}, last none`)
	s.add(1)
	c.want(countedTo(1, 1)...)

	s.proxy.block()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	s.wantClosed(1001)
	c.want("close 1001", "reconnecting")
	s.add(1)
	s.proxy.setTarget(next.address)
	c.want("open", `state of counter: {"value":2}, last #3`)
	c.want(replayedTo(2, 2)...)
	s.add(1)
	c.want(countedTo(3, 3)...)
}

func TestPublishedClient_4001(t *testing.T) {
	overflows := make(chan realtime.OverflowEvent, 1)
	s := startOurs(t, &realtime.Options{
		MaxBufferedBytes: 256 << 10,
		Observer:         realtime.Observer{OnOverflow: func(o realtime.OverflowEvent) { overflows <- o }},
	})
	s.create("doc", "")
	c := connectClient(t, s.proxy.url(), nil)
	c.subscribe("doc", `state of doc: "", last none`)
	s.propose("doc", "set", 0)
	c.want("#2 of doc accepted: 0")

	resume := s.proxy.stall()
	sent := 0
	large := json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`)
	for ; len(overflows) == 0; sent++ {
		if sent == 90 {
			t.Fatal("the connection did not fall behind while the replay window lasted")
		}
		s.propose("doc", "set", large)
	}
	s.proxy.block()
	resume()
	seen := 0
	var e event
	for e = c.next(); e.Event == "transaction"; e = c.next() {
		seen++
	}
	if e.String() != "close 4001" || seen >= sent {
		t.Fatalf("%d of %d transactions, then %s", seen, sent, e)
	}
	s.wantClosed(4001)
	c.want("reconnecting")
	s.proxy.setTarget(s.address)
	c.want("open")
	if e := c.next(); e.Event != "state" || len(e.Frame.CurrentState) != len(large) {
		t.Fatalf("event %.100s", e)
	}
	for n := seen + 1; n <= sent; n++ {
		if e := c.next(); !e.Frame.Replayed || place(e.Frame.TransactionID) != revision(n+2) {
			t.Fatalf("event %.100s, want revision %d replayed", e, n+2)
		}
	}
	s.propose("doc", "set", 1)
	c.want(revision(sent+3) + " of doc accepted: 1")
}

package realtime_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

func TestSubscribe_StoreFails(t *testing.T) {
	store := newFailingStore(t, nil)
	ts := serveStore(t, store, nil)
	p := ts.dial()
	store.failLoad.Store(true)
	p.subscribe("c", "")
	p.wantError(codes.Unavailable, "c")
	store.failLoad.Store(false)
	ts.create("c")
	p.join("c", "")
}

// dialPipe is a peer on a pipe: the server is blocked in a write unless the test
// reads.
func dialPipe(ts *testServer) *peer {
	p := ts.dial()
	synctest.Wait()
	return p
}

func TestResubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, ReplayWindow: 5000, Heartbeat: -1})
		since := ts.createMissed(1000)
		p := dialPipe(ts)
		p.join("c", since)
		p.wantReplayed(2, 10)
		p.subscribe("c", ts.cursor("c").String())
		next := uint64(11)
		for {
			m := must(p)
			if state, ok := m.(*wire.State); ok {
				if state.Replaying != 0 || state.Revision != 1001 {
					t.Errorf("got %s", m.AppendTo(nil))
				}
				break
			}
			// What was queued before is sent in order.
			if tx, ok := m.(*wire.Transaction); !ok || tx.Revision != next {
				t.Fatalf("want %d, got %s", next, m.AppendTo(nil))
			}
			next++
		}
		if next > 500 {
			t.Errorf("the first replay went on to %d", next)
		}
		ts.add("c", 1)
		p.wantTransactions(1002, 1002)
		p.wantPong("the end")
	})
}

// blockedBehind makes a subscribe to "c", which has further members, wait behind
// a state that the peer does not read.
func blockedBehind(ts *testServer, members string) *peer {
	ts.Helper()
	if _, err := ts.manager.Create(ts.Context(), "big", counter{Pad: strings.Repeat("x", 900<<10)}, add); err != nil {
		ts.Fatal(err)
	}
	p := dialPipe(ts)
	p.subscribe("big", "")
	synctest.Wait()
	p.send(`{"v":1,"type":"subscribe","shareDataId":"c"%s}`, members)
	synctest.Wait()
	return p
}

// A subscribe whose state had no room used to get no reply when another one to
// the same ShareData came, so that its client took the state of that one for its
// own.
func TestSubscribe_RepliesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: -1})
		since := ts.createMissed(3)
		p := blockedBehind(ts, "")
		p.subscribe("c", since)
		p.subscribe("c", "nonsense")
		p.subscribe("c", "")
		synctest.Wait()
		want[*wire.State](p) // the large one
		want[*wire.State](p)
		if state := want[*wire.State](p); state.Replaying != 3 {
			t.Errorf("got %s", state.AppendTo(nil))
		}
		p.wantReplayed(2, 4)
		want[*wire.State](p)
		p.wantError(codes.ReplayCursorNotFound, "c")
		want[*wire.State](p)
		p.wantPong("the end")
	})
}

func TestResubscribe_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: -1})
		ts.create("c")
		p := blockedBehind(ts, "")
		p.unchecked = true
		const n = 500
		for range n {
			p.subscribe("c", "")
			synctest.Wait()
		}
		states, refused := 0, 0
		for states+refused < n+2 { // and those that blockedBehind made
			switch m := must(p).(type) {
			case *wire.State:
				states++
			case *wire.Error:
				if m.Code != codes.RateLimited {
					t.Fatalf("got %s", m.AppendTo(nil))
				}
				refused++
			}
		}
		p.wantPong("each has one reply")
		if refused == 0 {
			t.Error("all of them were queued")
		}
	})
}

func TestSubscribe_LargeStates(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxBufferedBytes: 100 << 10})
	const n = 20
	for i := range n {
		id := "big-" + strconv.Itoa(i)
		if _, err := ts.manager.Create(t.Context(), id, counter{Pad: strings.Repeat("x", 300<<10)}, add); err != nil {
			t.Fatal(err)
		}
	}
	p := ts.dial()
	for i := range n {
		p.subscribe("big-"+strconv.Itoa(i), "")
	}
	for range n {
		want[*wire.State](p)
	}
	p.wantPong("alive")
}

func TestSubscribe_UnknownShareData(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	p := ts.dial()
	p.join("c", "")
	p.send(`{"v":1,"type":"subscribe","shareDataId":"nowhere","keepConnection":true}`)
	p.wantError(codes.UnknownShareData, "nowhere")
	ts.add("c", 1)
	p.wantTransactions(2, 2)
	ts.create("nowhere")
	p.join("nowhere", "") // it is found as soon as it exists
	p.send(`{"v":1,"type":"subscribe","shareDataId":"elsewhere","keepConnection":false}`)
	p.wantError(codes.UnknownShareData, "elsewhere")
	p.wantClose(codes.CloseUnknownShareData)
}

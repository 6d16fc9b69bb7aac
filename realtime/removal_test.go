package realtime_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

func TestRemoval_DuringReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, MaxSubscriptions: 1, Heartbeat: -1})
		ts.create("c")
		ts.create("d")
		since := ts.cursor("c").String()
		ts.add("c", 100)
		p := dialPipe(ts)
		p.join("c", since)
		ts.add("c", 1)
		if err := ts.manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		p.wantReplayed(2, 101)
		p.wantTransactions(102, 102)
		if m := want[*wire.Lifecycle](p); m.Event != wire.EventRemoved || m.Revision != 103 {
			t.Errorf("got %s", m.AppendTo(nil))
		}
		ts.create("c")
		ts.add("c", 1)
		p.wantPong("nothing of the new one came")
		p.join("d", "") // there is room for another subscription
	})
}

func TestRemoval_InterruptsReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, ReplayWindow: 5000, Heartbeat: -1})
		since := ts.createMissed(1000)
		p := dialPipe(ts)
		p.join("c", since)
		if err := ts.manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		ts.create("c") // a history by that name is there, but another one
		replayed := 0
		for {
			m := must(p)
			if tx, ok := m.(*wire.Transaction); ok && tx.Replayed {
				replayed++
				continue
			}
			if e, ok := m.(*wire.Error); !ok || e.Code != codes.ReplayCursorNotFound {
				t.Fatalf("got %s", m.AppendTo(nil))
			}
			break
		}
		if replayed == 0 || replayed >= 1000 {
			t.Errorf("%d entries were replayed", replayed)
		}
		if m := want[*wire.Lifecycle](p); m.Event != wire.EventRemoved {
			t.Errorf("got %s", m.AppendTo(nil))
		}
		ts.add("c", 1)
		p.wantPong("nothing of the new one came")
	})
}

// A subscriber used to be told that its cursor was not found, although it was
// inside the window, when the history had just been removed and the channel was
// not notified of that yet.
func TestRemoval_BeforeNotification(t *testing.T) {
	store := newSlowStore(t)
	defer store.release()
	ts := serveStore(t, store, nil)
	since := ts.createMissed(3)
	store.slow.Store(true)
	removal := make(chan error, 1)
	go func() { removal <- ts.manager.Remove(t.Context(), "c") }()
	<-store.stored
	p := ts.dial()
	p.subscribe("c", since)
	p.wantPong("the subscribe waits")
	store.release()
	p.wantError(codes.UnknownShareData, "c")
	p.wantClose(codes.CloseUnknownShareData)
	if err := <-removal; err != nil {
		t.Error(err)
	}
}

func TestRemoval_Recreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: -1})
		ts.create("c")
		ts.add("c", 5)
		p := blockedBehind(ts, "")
		if err := ts.manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		ts.create("c")
		want[*wire.State](p)
		if state := want[*wire.State](p); state.ShareDataID != "c" || state.Cursor != ts.cursor("c").String() {
			t.Errorf("got %s", state.AppendTo(nil))
		}
		ts.add("c", 1)
		p.wantTransactions(2, 2)
	})
}

func TestRemoval_BeforeState(t *testing.T) {
	for _, keep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ts := servePipes(t, &realtime.Options{Heartbeat: -1})
			ts.create("c")
			p := blockedBehind(ts, fmt.Sprintf(`,"keepConnection":%v`, keep))
			if err := ts.manager.Remove(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			want[*wire.State](p)
			p.wantError(codes.UnknownShareData, "c")
			if keep {
				p.wantPong("still open")
				return
			}
			p.wantClose(codes.CloseUnknownShareData)
		})
	}
}

func TestResume_Recreated(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	p := ts.dial()
	p.join("c", "")
	stale := ts.add("c", 5)
	p.wantTransactions(2, 6)
	if err := ts.manager.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if m := want[*wire.Lifecycle](p); m.Event != wire.EventRemoved {
		t.Fatalf("got %s", m.AppendTo(nil))
	}
	ts.create("c")
	ts.add("c", 9)
	state := p.join("c", stale.String())
	if state.Replaying != 0 || state.Revision != 10 {
		t.Errorf("got %s", state.AppendTo(nil))
	}
	p.wantError(codes.ReplayCursorNotFound, "c")
	ts.add("c", 1)
	p.wantTransactions(11, 11)
}

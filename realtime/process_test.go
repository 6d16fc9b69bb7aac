package realtime_test

import (
	"testing"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

// twoServers serve one ShareData "counter", which both can change, from a store
// that they share.
func twoServers(t *testing.T) (a, b *testServer, storeOfB *sharedstore.Process) {
	t.Helper()
	shared := sharedstore.New()
	storeOfB = shared.Process()
	a, b = serveStore(t, shared.Process(), nil), serveStore(t, storeOfB, nil)
	a.create("counter")
	b.ensure("counter")
	return a, b, storeOfB
}

func (ts *testServer) ensure(id string) {
	ts.Helper()
	if _, err := ts.manager.Ensure(ts.Context(), id, nil, add); err != nil {
		ts.Fatal(err)
	}
}

func TestTwoServers(t *testing.T) {
	a, b, _ := twoServers(t)
	p := b.dial()
	p.join("counter", "")
	a.add("counter", 3)
	p.wantTransactions(2, 4)
	b.add("counter", 1)
	p.wantTransactions(5, 5)
	if err := a.manager.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	if frame := want[*wire.Lifecycle](p); frame.Event != wire.EventRemoved || frame.Revision != 6 {
		t.Errorf("after the removal: %+v", frame)
	}
}

// A subscriber that moved to a server which was behind used to be told that its
// cursor is unknown, and to be sent an older state than it had.
func TestTwoServers_SubscriberAhead(t *testing.T) {
	a, b, storeOfB := twoServers(t)
	resident := b.dial()
	resident.join("counter", "")
	storeOfB.LoseAnnouncements(true)
	a.add("counter", 5)
	since := a.cursor("counter")

	visitor := b.dial()
	visitor.subscribe("counter", since.String())
	if state := want[*wire.State](visitor); state.Cursor != since.String() || state.Replaying != 0 {
		t.Errorf("who knew %s is shown %+v", since, state)
	}
	resident.wantTransactions(2, 6)
	b.add("counter", 1)
	visitor.wantTransactions(7, 7)
}

// A subscriber used to be shown the state of a ShareData that another process had just
// removed and created again, and a gap in its history.
func TestTwoServers_Recreated(t *testing.T) {
	a, b, storeOfB := twoServers(t)
	since := a.cursor("counter").String()
	a.add("counter", 3)
	b.dial().join("counter", "")
	storeOfB.LoseAnnouncements(true)
	if err := a.manager.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	a.create("counter")
	p := b.dial()
	p.subscribe("counter", since)
	if state := want[*wire.State](p); state.Cursor != a.cursor("counter").String() {
		t.Errorf("got %s", state.AppendTo(nil))
	}
	p.wantError(codes.ReplayCursorNotFound, "counter")
	p.wantPong("nothing else came")
}

func TestTwoServers_StoreUnreachable(t *testing.T) {
	a, b, storeOfB := twoServers(t)
	resident := b.dial()
	resident.join("counter", "")
	before := b.cursor("counter")
	storeOfB.SetReachable(false)
	a.add("counter", 2)
	since := a.cursor("counter")

	visitor := b.dial()
	visitor.subscribe("counter", since.String())
	visitor.wantError(codes.Unavailable, "counter")
	visitor.subscribe("counter", before.String()) // what the server has, it serves
	if state := want[*wire.State](visitor); state.Cursor != before.String() {
		t.Errorf("shown %+v, want what was known at %s", state, before)
	}
	visitor.propose("counter", "add", `{"by":1}`, "p")
	if result := want[*wire.ProposalResult](visitor); result.Accepted || result.TransactionID != "" || result.Error == "" {
		t.Errorf("a proposal without a store: %+v", result)
	}
	storeOfB.SetReachable(true)
	visitor.wantTransactions(2, 3)
	visitor.subscribe("counter", since.String())
	if state := want[*wire.State](visitor); state.Cursor != since.String() {
		t.Errorf("shown %+v, want %s", state, since)
	}
}

// What the store cannot be read for is replayed from memory.
func TestReplay_StoreUnreachable(t *testing.T) {
	a, b, storeOfB := twoServers(t)
	resident := b.dial()
	resident.join("counter", "")
	since := b.cursor("counter")
	a.add("counter", 4)
	resident.wantTransactions(2, 5)
	storeOfB.SetReachable(false)

	visitor := b.dial()
	visitor.subscribe("counter", since.String())
	if state := want[*wire.State](visitor); state.Replaying != 4 {
		t.Errorf("shown %+v, want 4 frames replayed", state)
	}
	visitor.wantReplayed(2, 5)
}

// After the history was rolled back, cursors that are lost resume nothing.
func TestResume_HistoryRolledBack(t *testing.T) {
	shared := sharedstore.New()
	storeOfB := shared.Process()
	a, b := serveStore(t, shared.Process(), nil), serveStore(t, storeOfB, nil)
	a.create("counter")
	b.ensure("counter")
	resident := b.dial()
	resident.join("counter", "")
	a.add("counter", 5)
	resident.wantTransactions(2, 6)
	lost := b.cursor("counter")
	shared.Rollback("counter", replay.Cursor{Epoch: lost.Epoch, Revision: 3})
	storeOfB.Check()
	state := want[*wire.State](resident)
	resident.wantError(codes.ReplayCursorNotFound, "counter")
	if at, err := replay.ParseCursor(state.Cursor); err != nil || at.Epoch <= lost.Epoch || string(state.CurrentState) != `{"value":2}` {
		t.Errorf("gone back, and shown %+v", state)
	}
	a.add("counter", 9)
	resident.wantTransactions(2, 10)

	visitor := b.dial()
	visitor.subscribe("counter", lost.String())
	want[*wire.State](visitor)
	visitor.wantError(codes.ReplayCursorNotFound, "counter")
}

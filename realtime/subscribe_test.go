package realtime_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestResumesWithExactlyWhatWasMissed(t *testing.T) {
	w := overSockets(t, nil)
	w.create("c")
	w.add("c", 150)
	head := w.cursor("c")
	for missed := uint64(0); missed <= 100; missed += 25 {
		p := w.dial()
		since := replay.Cursor{Epoch: head.Epoch, Revision: head.Revision - missed}
		state := p.join("c", since.String())
		if state.Replaying != missed || state.Cursor != head.String() || state.LastTransactionID != head.String() {
			t.Fatalf("missed %d: got %s", missed, state.AppendTo(nil))
		}
		p.wantReplayed(since.Revision+1, head.Revision)
		p.wantPong("the end")
	}
	w.add("c", 1)
}

func TestCursorThatCannotBeResumedFromIsSaidSo(t *testing.T) {
	w := overSockets(t, nil)
	w.create("c")
	w.add("c", 150)
	head := w.cursor("c")
	at := func(epoch, revision uint64) string {
		return replay.Cursor{Epoch: epoch, Revision: revision}.String()
	}
	for name, since := range map[string]string{
		"no cursor":             "yesterday",
		"not canonical":         "0" + head.String(),
		"another epoch":         at(head.Epoch+1, head.Revision),
		"from the future":       at(head.Epoch, head.Revision+1),
		"older than the window": at(head.Epoch, head.Revision-101),
		"before the first":      at(head.Epoch, 0),
	} {
		t.Run(name, func(t *testing.T) {
			p := w.dial()
			p.T = t
			state := p.join("c", since)
			if state.Replaying != 0 || state.Cursor != head.String() {
				t.Errorf("got %s", state.AppendTo(nil))
			}
			p.wantError(codes.ReplayCursorNotFound, "c")
			p.wantPong("the end")
		})
	}
	p := w.dial()
	p.join("c", "yesterday")
	p.wantError(codes.ReplayCursorNotFound, "c")
	w.add("c", 1)
	p.wantTransactions(head.Revision+1, head.Revision+1)
}

func TestReplayCanBeSwitchedOff(t *testing.T) {
	w := overSockets(t, &realtime.Options{ReplayWindow: -1})
	w.create("c")
	since := w.cursor("c").String()
	p := w.dial()
	p.join("c", since) // nothing missed, so nothing to replay
	p.wantPong("1")
	w.add("c", 1)
	p.wantTransactions(2, 2)
	p.join("c", since)
	p.wantError(codes.ReplayCursorNotFound, "c")
}

func TestTrimmedHistoryIsNotResumedFrom(t *testing.T) {
	w := onStore(t, newFragile(t, &replay.MemoryOptions{MaxEntries: 10}), nil)
	w.create("c")
	since := w.cursor("c").String()
	w.add("c", 30)
	p := w.dial()
	if state := p.join("c", since); state.Replaying != 0 {
		t.Errorf("got %s", state.AppendTo(nil))
	}
	p.wantError(codes.ReplayCursorNotFound, "c")
	p.wantPong("the end")
}

func TestStoreThatCannotBeReadCostsTheReplayAlone(t *testing.T) {
	store := newFragile(t, nil)
	w := onStore(t, store, nil)
	w.create("c")
	since := w.cursor("c").String()
	w.add("c", 3)
	store.failRead.Store(true)
	p := w.dial()
	p.join("c", since)
	if e := p.wantError(codes.ReplayCursorNotFound, "c"); !strings.Contains(e.Message, "could not be read") || strings.Contains(e.Message, "fire") {
		t.Errorf("message %q", e.Message)
	}
	w.add("c", 1)
	p.wantTransactions(5, 5)
}

func TestStoreThatCannotLoadMakesSubscribeUnavailable(t *testing.T) {
	store := newFragile(t, nil)
	w := onStore(t, store, nil)
	store.failLoad.Store(true)
	p := w.dial()
	p.subscribe("c", "")
	p.wantError(codes.Unavailable, "c")
	store.failLoad.Store(false)
	w.create("c")
	p.join("c", "")
}

// slowly is a peer on a pipe: the server is blocked in a write unless the test
// reads.
func slowly(w *world) *peer {
	p := w.dial()
	synctest.Wait()
	return p
}

func TestReplayLongerThanTheSendBufferDoesNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, ReplayWindow: 5000, Observer: r.observer(), Heartbeat: -1})
		w.create("c")
		since := w.cursor("c").String()
		w.add("c", 1000)
		p := slowly(w)
		state := p.join("c", since)
		if state.Replaying != 1000 {
			t.Fatalf("got %s", state.AppendTo(nil))
		}
		p.wantReplayed(2, 100)
		time.Sleep(time.Minute) // the peer pauses
		p.wantReplayed(101, 1001)
		w.add("c", 1)
		p.wantTransactions(1002, 1002)
		if over := r.overflows(); len(over) != 0 {
			t.Errorf("overflow: %+v", over)
		}
	})
}

func TestLiveFramesNeitherInterleaveWithAReplayNorGetLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 64 << 10, ReplayWindow: 5000, Heartbeat: -1})
		w.create("c")
		since := w.cursor("c").String()
		w.add("c", 1000)
		p := slowly(w)
		if state := p.join("c", since); state.Replaying != 1000 {
			t.Fatalf("got %s", state.AppendTo(nil))
		}
		next := uint64(2)
		for range 50 {
			w.add("c", 1)
			p.wantReplayed(next, next+9)
			next += 10
		}
		p.propose("c", "add", `{"by":1}`, "in between")
		synctest.Wait()
		p.wantReplayed(next, 1001)
		p.wantTransactions(1002, 1052)
		if result := want[*wire.ProposalResult](p); result.CorrelationID != "in between" || !result.Accepted {
			t.Errorf("got %s", result.AppendTo(nil))
		}
		p.wantPong("the end")
	})
}

func TestWhatWaitsBehindAReplayCountsTowardsTheSendBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 8 << 10, ReplayWindow: 5000, Observer: r.observer(), Heartbeat: -1})
		w.create("c")
		since := w.cursor("c").String()
		w.add("c", 1000)
		p := slowly(w)
		p.join("c", since)
		w.add("c", 100) // the peer does not read
		synctest.Wait()
		p.wantReplayed(2, 3)
		for {
			if _, err := p.next(); err != nil {
				break
			}
		}
		r.wantClosed(t, codes.CloseFellBehind)
		if over := r.overflows(); len(over) != 1 || over[0].Limit != 8<<10 || over[0].Buffered <= over[0].Limit {
			t.Errorf("overflow: %+v", over)
		}
	})
}

func TestSecondSubscribeRestartsTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, ReplayWindow: 5000, Heartbeat: -1})
		w.create("c")
		since := w.cursor("c").String()
		w.add("c", 1000)
		p := slowly(w)
		p.join("c", since)
		p.wantReplayed(2, 10)
		p.subscribe("c", w.cursor("c").String())
		next := uint64(11)
		for {
			m := must(p)
			if state, ok := m.(*wire.State); ok {
				if state.Replaying != 0 || state.Revision != 1001 {
					t.Errorf("got %s", m.AppendTo(nil))
				}
				break
			}
			// What was queued before goes out in order.
			if tx, ok := m.(*wire.Transaction); !ok || tx.Revision != next {
				t.Fatalf("want %d, got %s", next, m.AppendTo(nil))
			}
			next++
		}
		if next > 500 {
			t.Errorf("the first replay went on to %d", next)
		}
		w.add("c", 1)
		p.wantTransactions(1002, 1002)
		p.wantPong("the end")
	})
}

func TestUnsubscribeCancelsAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, ReplayWindow: 5000, Heartbeat: -1})
		w.create("c")
		since := w.cursor("c").String()
		w.add("c", 1000)
		p := slowly(w)
		p.join("c", since)
		p.send(`{"v":1,"type":"unsubscribe","shareDataId":"c"}`)
		synctest.Wait()
		p.ping("end")
		frames := 0
		for {
			if _, ok := must(p).(*wire.Pong); ok {
				break
			}
			frames++
		}
		if frames > 500 {
			t.Errorf("%d frames were replayed after the unsubscribe", frames)
		}
		w.add("c", 1)
		p.wantPong("nothing came")
	})
}

// A replay whose rest is trimmed while it goes on must not end as if it were
// whole.
func TestReplayThatBreaksOffBeginsAgainWithTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFragile(t, nil)
		w := newWorld(t, store, &realtime.Options{MaxBufferedBytes: 64 << 10, ReplayWindow: 5000, Heartbeat: -1})
		w.servePipes(w.server)
		slow, letGo := gate("slow")
		w.create("c", slow)
		since := w.cursor("c").String()
		w.add("c", 1000)
		p := slowly(w)
		p.join("c", since)
		p.propose("c", "slow", "null", "held")
		synctest.Wait()
		store.failRead.Store(true) // the first page was read; the next cannot be
		letGo()
		synctest.Wait()
		next := uint64(2)
		for {
			m := must(p)
			if state, ok := m.(*wire.State); ok {
				if state.Replaying != 0 || state.Revision != 1002 {
					t.Errorf("got %s", m.AppendTo(nil))
				}
				break
			}
			if tx, ok := m.(*wire.Transaction); !ok || tx.Revision != next || !tx.Replayed {
				t.Fatalf("want %d, got %s", next, m.AppendTo(nil))
			}
			next++
		}
		if next > 1000 {
			t.Error("the replay did not break off")
		}
		p.wantError(codes.ReplayCursorNotFound, "c")
		if result := want[*wire.ProposalResult](p); result.CorrelationID != "held" {
			t.Errorf("got %s", result.AppendTo(nil))
		}
		w.add("c", 1)
		p.wantTransactions(1003, 1003)
		p.wantPong("the end")
	})
}

func TestRemovalDuringAReplayComesAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, MaxSubscriptions: 1, Heartbeat: -1})
		w.create("c")
		w.create("d")
		since := w.cursor("c").String()
		w.add("c", 100)
		p := slowly(w)
		p.join("c", since)
		w.add("c", 1)
		if err := w.manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		p.wantReplayed(2, 101)
		p.wantTransactions(102, 102)
		if m := want[*wire.Lifecycle](p); m.Event != wire.EventRemoved || m.Revision != 103 {
			t.Errorf("got %s", m.AppendTo(nil))
		}
		w.create("c")
		w.add("c", 1)
		p.wantPong("nothing of the new one came")
		p.join("d", "") // there is room for another subscription
	})
}

func TestRemovalDuringAReplayThatBreaksOffIsToldAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, ReplayWindow: 5000, Heartbeat: -1})
		w.create("c")
		since := w.cursor("c").String()
		w.add("c", 1000)
		p := slowly(w)
		p.join("c", since)
		if err := w.manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		w.create("c") // a history by that name is there, but another one
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
		w.add("c", 1)
		p.wantPong("nothing of the new one came")
	})
}

// lagging is a store whose removals take their time after they are committed.
type lagging struct {
	replay.Store
	removed, goOn chan struct{}
}

func (l *lagging) Append(ctx context.Context, id string, batch replay.Batch) error {
	err := l.Store.Append(ctx, id, batch)
	if batch.Remove {
		close(l.removed)
		<-l.goOn
	}
	return err
}

// A subscriber used to be told that its cursor was not found, although it was
// inside the window, when the history had just been removed and the news of
// that was still on its way.
func TestResumeDuringARemovalFindsTheShareDataGone(t *testing.T) {
	store := &lagging{Store: newFragile(t, nil), removed: make(chan struct{}), goOn: make(chan struct{})}
	w := onStore(t, store, nil)
	w.create("c")
	since := w.cursor("c").String()
	w.add("c", 3)
	removal := make(chan error, 1)
	go func() { removal <- w.manager.Remove(t.Context(), "c") }()
	<-store.removed
	p := w.dial()
	p.subscribe("c", since)
	p.wantPong("the subscribe waits")
	close(store.goOn)
	p.wantError(codes.UnknownShareData, "c")
	p.wantClose(codes.CloseUnknownShareData)
	if err := <-removal; err != nil {
		t.Error(err)
	}
}

// blockedBehind has a subscription to "c" wait behind a state that the peer
// does not read.
func blockedBehind(w *world) *peer {
	w.Helper()
	if _, err := w.manager.Create(w.Context(), "big", counter{Pad: strings.Repeat("x", 900<<10)}, add); err != nil {
		w.Fatal(err)
	}
	p := slowly(w)
	p.subscribe("big", "")
	synctest.Wait()
	p.subscribe("c", "")
	synctest.Wait()
	return p
}

func TestRemovedAndRecreatedBeforeItsStateWasSentIsSubscribedToAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{Heartbeat: -1})
		w.create("c")
		w.add("c", 5)
		p := blockedBehind(w)
		if err := w.manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		w.create("c")
		want[*wire.State](p)
		if state := want[*wire.State](p); state.ShareDataID != "c" || state.Cursor != w.cursor("c").String() {
			t.Errorf("got %s", state.AppendTo(nil))
		}
		w.add("c", 1)
		p.wantTransactions(2, 2)
	})
}

func TestRemovedBeforeItsStateWasSentIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{Heartbeat: -1})
		w.create("c")
		p := blockedBehind(w)
		if err := w.manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		want[*wire.State](p)
		p.wantError(codes.UnknownShareData, "c")
		p.wantClose(codes.CloseUnknownShareData)
	})
}

func TestResultWaitsForTheStateThatShowsItsEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{Heartbeat: -1})
		slow, letGo := gate("slow")
		w.create("c", slow)
		if _, err := w.manager.Create(t.Context(), "big", counter{Pad: strings.Repeat("x", 900<<10)}, add); err != nil {
			t.Fatal(err)
		}
		p := slowly(w)
		p.propose("c", "slow", "null", "before")
		p.subscribe("big", "")
		synctest.Wait()
		p.subscribe("c", "")
		synctest.Wait()
		letGo()
		p.propose("c", "add", `{"by":1}`, "behind")
		synctest.Wait()
		want[*wire.State](p)
		if state := want[*wire.State](p); state.ShareDataID != "c" || state.Revision != 2 {
			t.Errorf("got %s", state.AppendTo(nil))
		}
		if result := want[*wire.ProposalResult](p); result.CorrelationID != "before" {
			t.Errorf("got %s", result.AppendTo(nil))
		}
		p.wantTransactions(3, 3)
		if result := want[*wire.ProposalResult](p); result.CorrelationID != "behind" {
			t.Errorf("got %s", result.AppendTo(nil))
		}
	})
}

// A subscribe whose answer had no room used to be left unanswered when another
// one to the same ShareData came, so that its client took the state that
// answered that one for its own, with a replay or without.
func TestEverySubscribeIsAnsweredOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{Heartbeat: -1})
		w.create("c")
		since := w.cursor("c").String()
		w.add("c", 3)
		p := blockedBehind(w)
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

func TestResubscribesBehindABlockedOneAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{Heartbeat: -1})
		w.create("c")
		p := blockedBehind(w)
		p.trusting = true
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
		p.wantPong("each was answered once")
		if refused == 0 {
			t.Error("all of them were queued")
		}
	})
}

func TestCursorOfARemovedHistoryIsNotMistakenForTheNewOnes(t *testing.T) {
	w := overSockets(t, nil)
	w.create("c")
	p := w.dial()
	p.join("c", "")
	stale := w.add("c", 5)
	p.wantTransactions(2, 6)
	if err := w.manager.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if m := want[*wire.Lifecycle](p); m.Event != wire.EventRemoved {
		t.Fatalf("got %s", m.AppendTo(nil))
	}
	w.create("c")
	w.add("c", 9)
	state := p.join("c", stale.String())
	if state.Replaying != 0 || state.Revision != 10 {
		t.Errorf("got %s", state.AppendTo(nil))
	}
	p.wantError(codes.ReplayCursorNotFound, "c")
	w.add("c", 1)
	p.wantTransactions(11, 11)
}

func TestLargeStatesAreSentOneAfterTheOther(t *testing.T) {
	w := overSockets(t, &realtime.Options{MaxBufferedBytes: 100 << 10})
	const n = 20
	for i := range n {
		id := "big-" + strconv.Itoa(i)
		if _, err := w.manager.Create(t.Context(), id, counter{Pad: strings.Repeat("x", 300<<10)}, add); err != nil {
			t.Fatal(err)
		}
	}
	p := w.dial()
	for i := range n {
		p.subscribe("big-"+strconv.Itoa(i), "")
	}
	for range n {
		want[*wire.State](p)
	}
	p.wantPong("alive")
}

func TestTooManySubscriptionsAreRefusedAndTheConnectionStays(t *testing.T) {
	w := overSockets(t, &realtime.Options{MaxSubscriptions: 2})
	for _, id := range []string{"a", "b", "c"} {
		w.create(id)
	}
	p := w.dial()
	p.join("a", "")
	p.join("b", "")
	p.subscribe("c", "")
	p.wantError(codes.TooManySubscriptions, "c")
	p.join("a", "") // again is not one more
	p.send(`{"v":1,"type":"unsubscribe","shareDataId":"a"}`)
	p.wantPong("sent before")
	for { // unsubscribing has no answer
		p.subscribe("c", "")
		if _, ok := must(p).(*wire.State); ok {
			break
		}
	}
}

func TestWaitingSubscribesAreBounded(t *testing.T) {
	goOn := make(chan struct{})
	w := overSockets(t, &realtime.Options{
		MaxSubscriptions: 3,
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error {
			<-goOn
			return nil
		},
	})
	defer close(goOn)
	p := w.dial()
	for range 7 {
		p.subscribe("c", "")
	}
	p.wantError(codes.RateLimited, "c")
}

// TestSubscribersComeAndGoWhileShareDataDo looks for frames that belong to no
// subscription, and for gaps, repeats and disorder.
func TestSubscribersComeAndGoWhileShareDataDo(t *testing.T) {
	w := overSockets(t, nil)
	const rounds, peers = 30, 8
	stop := make(chan struct{})
	var followers, changes sync.WaitGroup
	w.create("c")
	changes.Go(func() {
		ctx := context.Background()
		for {
			for range 20 {
				w.manager.Propose(ctx, sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 1}})
			}
			select {
			case <-stop:
				return
			default:
			}
			w.manager.Remove(ctx, "c")
			w.manager.Create(ctx, "c", counter{}, add)
		}
	})
	for range peers {
		p := w.dial()
		p.trusting = true
		followers.Go(func() {
			for range rounds {
				err := follow(p, "c")
				if websocket.CloseStatus(err) == codes.CloseUnknownShareData {
					// It was subscribed to between a removal and a creation.
					conn, _, dialErr := w.tryDial(nil)
					if dialErr != nil {
						t.Error(dialErr)
						return
					}
					p, err = &peer{T: t, conn: conn, trusting: true}, nil
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	followers.Wait()
	close(stop)
	changes.Wait()
	w.server.Close()
	if n := w.server.Channels(); n != 0 {
		t.Errorf("%d channels outlive their subscribers", n)
	}
}

// follow subscribes and checks what comes until the ShareData is removed or
// some frames have come.
func follow(p *peer, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.conn.Write(ctx, 1, fmt.Appendf(nil, `{"v":1,"type":"subscribe","shareDataId":%q}`, id)); err != nil {
		return err
	}
	// Frames of the subscription before may still come, then the state.
	var at replay.Cursor
	for range 60 {
		m, err := p.next()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.State:
			at, err = replay.ParseCursor(m.Cursor)
			if err != nil {
				return err
			}
		case *wire.Transaction:
			if at.IsZero() {
				continue
			}
			if m.TransactionID != at.Next().String() {
				return fmt.Errorf("%s came after %s", m.TransactionID, at)
			}
			at = at.Next()
		case *wire.Lifecycle:
			if at.IsZero() {
				continue
			}
			if m.Cursor != at.Next().String() {
				return fmt.Errorf("%s came after %s", m.Cursor, at)
			}
			return nil
		case *wire.Error:
			if m.Code != codes.UnknownShareData {
				return fmt.Errorf("got %s", m.AppendTo(nil))
			}
		}
	}
	return nil
}

package realtime_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestResume_Exact(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	ts.add("c", 150)
	head := ts.cursor("c")
	for missed := uint64(0); missed <= 100; missed += 25 {
		p := ts.dial()
		since := replay.Cursor{Epoch: head.Epoch, Revision: head.Revision - missed}
		state := p.join("c", since.String())
		if state.Replaying != missed || state.Cursor != head.String() || state.LastTransactionID != head.String() {
			t.Fatalf("missed %d: got %s", missed, state.AppendTo(nil))
		}
		p.wantReplayed(since.Revision+1, head.Revision)
		p.wantPong("the end")
	}
	ts.add("c", 1)
}

func TestResume_UnknownCursor(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	ts.add("c", 150)
	head := ts.cursor("c")
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
			p := ts.dial()
			p.T = t
			state := p.join("c", since)
			if state.Replaying != 0 || state.Cursor != head.String() {
				t.Errorf("got %s", state.AppendTo(nil))
			}
			p.wantError(codes.ReplayCursorNotFound, "c")
			p.wantPong("the end")
		})
	}
	p := ts.dial()
	p.join("c", "yesterday")
	p.wantError(codes.ReplayCursorNotFound, "c")
	ts.add("c", 1)
	p.wantTransactions(head.Revision+1, head.Revision+1)
}

func TestReplayWindow_Off(t *testing.T) {
	ts := serve(t, &realtime.Options{ReplayWindow: -1})
	ts.create("c")
	since := ts.cursor("c").String()
	p := ts.dial()
	p.join("c", since) // nothing missed, so nothing to replay
	p.wantPong("1")
	ts.add("c", 1)
	p.wantTransactions(2, 2)
	p.join("c", since)
	p.wantError(codes.ReplayCursorNotFound, "c")
}

func TestResume_TrimmedHistory(t *testing.T) {
	ts := serveStore(t, newFailingStore(t, &replay.MemoryOptions{MaxEntries: 10}), nil)
	since := ts.createMissed(30)
	p := ts.dial()
	if state := p.join("c", since); state.Replaying != 0 {
		t.Errorf("got %s", state.AppendTo(nil))
	}
	p.wantError(codes.ReplayCursorNotFound, "c")
	p.wantPong("the end")
}

func TestResume_StoreFails(t *testing.T) {
	store := newFailingStore(t, nil)
	ts := serveStore(t, store, nil)
	since := ts.createMissed(3)
	store.failRead.Store(true)
	p := ts.dial()
	p.join("c", since)
	if e := p.wantError(codes.ReplayCursorNotFound, "c"); !strings.Contains(e.Message, "could not be read") || strings.Contains(e.Message, "fire") {
		t.Errorf("message %q", e.Message)
	}
	ts.add("c", 1)
	p.wantTransactions(5, 5)
}

func TestReplay_LongerThanBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, ReplayWindow: 5000, Observer: r.observer(), Heartbeat: -1})
		since := ts.createMissed(1000)
		p := dialPipe(ts)
		state := p.join("c", since)
		if state.Replaying != 1000 {
			t.Fatalf("got %s", state.AppendTo(nil))
		}
		p.wantReplayed(2, 100)
		time.Sleep(time.Minute) // the peer pauses
		p.wantReplayed(101, 1001)
		ts.add("c", 1)
		p.wantTransactions(1002, 1002)
		if over := r.overflows(); len(over) != 0 {
			t.Errorf("overflow: %+v", over)
		}
	})
}

func TestReplay_ThenLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 64 << 10, ReplayWindow: 5000, Heartbeat: -1})
		since := ts.createMissed(1000)
		p := dialPipe(ts)
		if state := p.join("c", since); state.Replaying != 1000 {
			t.Fatalf("got %s", state.AppendTo(nil))
		}
		next := uint64(2)
		for range 50 {
			ts.add("c", 1)
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

func TestReplay_HeldFramesCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 8 << 10, ReplayWindow: 5000, Observer: r.observer(), Heartbeat: -1})
		since := ts.createMissed(1000)
		p := dialPipe(ts)
		p.join("c", since)
		ts.add("c", 100) // the peer does not read
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

func TestReplay_Unsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10, ReplayWindow: 5000, Heartbeat: -1})
		since := ts.createMissed(1000)
		p := dialPipe(ts)
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
		ts.add("c", 1)
		p.wantPong("nothing came")
	})
}

// A replay that cannot be completed must not end as if it were whole.
func TestReplay_Interrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFailingStore(t, nil)
		ts := newTestServer(t, sharedata.Options{Store: store}, &realtime.Options{MaxBufferedBytes: 64 << 10, ReplayWindow: 5000, Heartbeat: -1})
		ts.listenOnPipes(ts.server)
		slow, unblock := blockingFunction("slow")
		since := ts.createMissed(1000, slow)
		p := dialPipe(ts)
		p.join("c", since)
		p.propose("c", "slow", "null", "held")
		synctest.Wait()
		store.failRead.Store(true) // the first page was read; the next cannot be
		unblock()
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
		ts.add("c", 1)
		p.wantTransactions(1003, 1003)
		p.wantPong("the end")
	})
}

// An entry that the store has and that the channel was not notified of is sent
// live. Without the bound of the first page it would be replayed as well.
func TestReplay_EndsAtTheState(t *testing.T) {
	store := newSlowStore(t)
	defer store.release()
	ts := serveStore(t, store, nil)
	since := ts.createMissed(3)
	resident := ts.dial()
	resident.join("c", "")
	store.slow.Store(true)
	proposed := make(chan error, 1)
	go func() {
		_, err := ts.manager.Propose(t.Context(), sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 1}})
		proposed <- err
	}()
	<-store.stored
	p := ts.dial()
	if state := p.join("c", since); state.Revision != 4 || state.Replaying != 3 {
		t.Errorf("got %s", state.AppendTo(nil))
	}
	p.wantReplayed(2, 4)
	p.wantPong("nothing else is replayed")
	store.release()
	p.wantTransactions(5, 5)
	resident.wantTransactions(5, 5)
	if err := <-proposed; err != nil {
		t.Error(err)
	}
	p.wantPong("it comes once")
}

package realtime_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
)

// A client that does not know replayed lifecycle frames takes one for an update
// that has just happened, and shows a state that is not there.
func TestUpdatesAreReplayedOnlyToThoseWhoAsk(t *testing.T) {
	w := overSockets(t, &realtime.Options{ReplayWindow: 2000})
	w.create("c")
	// More than is read of a history at once, with updates at its edges.
	updates := make(map[uint64]bool)
	for revision := uint64(2); revision <= 900; revision++ {
		if revision%7 == 0 || revision == 900 {
			updates[revision] = true
			if _, err := w.manager.Update(t.Context(), "c", counter{Value: 1}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		w.add("c", 1)
	}
	head := w.cursor("c")
	for _, test := range []struct {
		since uint64
		ask   bool
	}{{1, false}, {1, true}, {200, false}, {200, true}, {700, false}, {899, false}, {899, true}, {900, false}, {900, true}} {
		t.Run(fmt.Sprintf("since %d, asked %v", test.since, test.ask), func(t *testing.T) {
			p := w.dial()
			p.T, p.trusting = t, true
			p.send(`{"v":1,"type":"subscribe","shareDataId":"c","since":"%s","replayLifecycle":%v}`,
				replay.Cursor{Epoch: head.Epoch, Revision: test.since}, test.ask)
			state := want[*wire.State](p)
			frames := uint64(0)
			for revision := test.since + 1; revision <= head.Revision; revision++ {
				switch {
				case !updates[revision]:
					if f := want[*wire.Transaction](p); f.Revision != revision || !f.Replayed || f.CurrentState != nil {
						t.Fatalf("want revision %d replayed, got %s", revision, f.AppendTo(nil))
					}
				case test.ask:
					if f := want[*wire.Lifecycle](p); f.Revision != revision || !f.Replayed || f.CurrentState != nil {
						t.Fatalf("want revision %d replayed, got %s", revision, f.AppendTo(nil))
					}
				default:
					continue
				}
				frames++
			}
			if state.Replaying != frames || state.Cursor != head.String() {
				t.Errorf("%d frames were replayed after %s", frames, state.AppendTo(nil))
			}
			p.ping("the end")
			p.wantPong("the end")
		})
	}
}

// What is committed between the counting of what will be replayed and the state
// that says how much it is must be in the count.
func TestStateCountsWhatIsReplayedWhileUpdatesGoOn(t *testing.T) {
	everything, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	w := onStore(t, everything, &realtime.Options{ReplayWindow: 100_000})
	w.create("c")
	epoch := w.cursor("c").Epoch
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if i%3 == 0 {
				if _, err := w.manager.Update(t.Context(), "c", counter{Value: 1}); err != nil {
					t.Error(err)
				}
				continue
			}
			w.add("c", 1)
		}
	})
	for range 50 {
		p := w.dial()
		p.trusting = true
		p.subscribe("c", replay.Cursor{Epoch: epoch, Revision: max(w.cursor("c").Revision, 300) - 299}.String())
		state := want[*wire.State](p)
		for left := state.Replaying; left > 0; left-- {
			if f := want[*wire.Transaction](p); !f.Replayed {
				t.Fatalf("%d of %d replayed frames are missing before %s", left, state.Replaying, f.AppendTo(nil))
			}
		}
		// The first live frame is the next revision, whatever its kind.
		frame, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		revision, replayed := uint64(0), false
		switch f := frame.(type) {
		case *wire.Transaction:
			revision, replayed = f.Revision, f.Replayed
		case *wire.Lifecycle:
			revision, replayed = f.Revision, f.Replayed
		}
		if revision != state.Revision+1 || replayed {
			t.Fatalf("after %s and its replay came %s", state.AppendTo(nil), frame.AppendTo(nil))
		}
		p.conn.CloseNow()
	}
	close(stop)
	wait.Wait()
}

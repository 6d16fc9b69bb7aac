package realtime_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
)

// A client that does not know replayed lifecycle frames would take one for an
// update that has just happened, and show a state that is not there.
func TestReplayLifecycle(t *testing.T) {
	ts := serve(t, &realtime.Options{ReplayWindow: 2000})
	ts.create("c")
	// More than one page, with updates at its edges.
	updates := make(map[uint64]bool)
	for revision := uint64(2); revision <= 900; revision++ {
		if revision%7 == 0 || revision == 900 {
			updates[revision] = true
			if _, err := ts.manager.Update(t.Context(), "c", counter{Value: 1}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		ts.add("c", 1)
	}
	head := ts.cursor("c")
	for _, test := range []struct {
		since uint64
		ask   bool
	}{{1, false}, {1, true}, {200, false}, {200, true}, {700, false}, {899, false}, {899, true}, {900, false}, {900, true}} {
		t.Run(fmt.Sprintf("since %d, asked %v", test.since, test.ask), func(t *testing.T) {
			p := ts.dial()
			p.T, p.unchecked = t, true
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
			if state.HasReplaying != test.ask || test.ask && state.Replaying != frames || state.Cursor != head.String() {
				t.Errorf("%d frames were replayed after %s", frames, state.AppendTo(nil))
			}
			p.ping("the end")
			p.wantPong("the end")
		})
	}
}

// What is committed between the first page and the state is in the number that
// the state announces.
func TestReplayLifecycle_Concurrent(t *testing.T) {
	everything, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	ts := serveStore(t, everything, &realtime.Options{ReplayWindow: 100_000})
	ts.create("c")
	epoch := ts.cursor("c").Epoch
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
				if _, err := ts.manager.Update(t.Context(), "c", counter{Value: 1}); err != nil {
					t.Error(err)
				}
				continue
			}
			ts.add("c", 1)
		}
	})
	for range 50 {
		p := ts.dial()
		p.unchecked = true
		p.subscribe("c", replay.Cursor{Epoch: epoch, Revision: max(ts.cursor("c").Revision, 300) - 299}.String())
		state := want[*wire.State](p)
		// The replay has each revision up to the state's, then the live frames go
		// on, whatever their types.
		for revision := state.Revision - state.Replaying + 1; revision <= state.Revision+1; revision++ {
			f := must(p)
			got, replayed := revisionOf(f)
			if got != revision || replayed != (revision <= state.Revision) {
				t.Fatalf("want revision %d, got %s after %s", revision, f.AppendTo(nil), state.AppendTo(nil))
			}
		}
		p.conn.CloseNow()
	}
	close(stop)
	wait.Wait()
}

func revisionOf(frame wire.ServerMessage) (revision uint64, replayed bool) {
	switch f := frame.(type) {
	case *wire.Transaction:
		return f.Revision, f.Replayed
	case *wire.Lifecycle:
		return f.Revision, f.Replayed
	}
	return 0, false
}

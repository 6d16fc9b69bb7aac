package realtime_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestShutdownAnswersWhatIsInFlightAndSaysGoingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, nil)
		slow, letGo := gate("slow")
		w.create("c", slow)
		w.create("d")
		idle, busy := w.dial(), w.dial()
		busy.join("d", "")
		busy.join("c", "")
		busy.propose("c", "slow", "null", "in flight")
		w.add("d", 3)
		synctest.Wait()

		stopped := make(chan error, 1)
		go func() { stopped <- w.server.Shutdown(t.Context()) }()
		idle.wantClose(codes.CloseGoingAway)
		if _, response, err := w.tryDial(nil); err == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			t.Errorf("new connection: %v %v", response, err)
		}
		busy.propose("c", "add", `{"by":1}`, "too late")
		busy.subscribe("c", "")
		for range 3 {
			if m := want[*wire.Transaction](busy); m.ShareDataID != "d" {
				t.Errorf("got %s", m.AppendTo(nil))
			}
		}
		busy.wantPong("still there")
		time.Sleep(2 * time.Second)
		letGo()
		busy.wantTransactions(2, 2)
		if r := want[*wire.ProposalResult](busy); r.CorrelationID != "in flight" || !r.Accepted {
			t.Errorf("got %s", r.AppendTo(nil))
		}
		busy.wantClose(codes.CloseGoingAway)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if got := w.cursor("c").Revision; got != 2 {
			t.Errorf("a proposal was judged that came too late: revision %d", got)
		}
	})
}

func TestShutdownCutsWhatStillLivesWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		w := overPipes(t, &realtime.Options{Observer: r.observer()})
		stuck, _ := gate("stuck")
		w.create("c", stuck.WithTimeout(-1))
		w.dial() // does not read, so it does not answer the close
		p := w.dial()
		p.propose("c", "stuck", "null", "1")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		before := time.Now()
		if err := w.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(before); took != 10*time.Second {
			t.Errorf("took %v, want 10 s", took)
		}
		if len(r.closed) != 2 {
			t.Errorf("%d connections are closed, want 2", len(r.closed))
		}
	})
}

func TestShutdownFlushesAnswersThatWaitBehindAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10})
		w.create("c")
		since := w.cursor("c").String()
		w.add("c", 100)
		p := slowly(w)
		p.join("c", since)
		p.propose("c", "add", `{"by":1}`, "held")
		synctest.Wait()
		go w.server.Shutdown(t.Context())
		synctest.Wait()
		answered := false
		for {
			m, err := p.next()
			if err != nil {
				if websocket.CloseStatus(err) != codes.CloseGoingAway {
					t.Errorf("got %v", err)
				}
				break
			}
			if r, ok := m.(*wire.ProposalResult); ok && r.CorrelationID == "held" {
				answered = true
			}
		}
		if !answered {
			t.Error("the proposal was not answered")
		}
	})
}

func TestCloseCutsEverything(t *testing.T) {
	var r recorder
	w := overSockets(t, &realtime.Options{Observer: r.observer()})
	stuck, _ := gate("stuck")
	w.create("c", stuck)
	for range 5 {
		p := w.dial()
		p.join("c", "")
		p.propose("c", "stuck", "null", "1")
	}
	if err := w.server.Close(); err != nil {
		t.Error(err)
	}
	if len(r.closed) != 5 {
		t.Errorf("%d connections are closed, want 5", len(r.closed))
	}
	if _, response, err := w.tryDial(nil); err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("new connection: %v %v", response, err)
	}
}

func TestCloseWaitsForHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := false
		w := overPipes(t, &realtime.Options{
			AuthorizeSubscribe: func(ctx context.Context, _ *sharedata.Caller, _ string) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				asked = true
				return ctx.Err()
			},
		})
		p := w.dial()
		p.subscribe("c", "")
		synctest.Wait()
		w.server.Close()
		if !asked {
			t.Error("a hook was still at work")
		}
	})
}

func TestStoppingTwiceAndAtOnceIsFine(t *testing.T) {
	w := overSockets(t, nil)
	w.create("c")
	for range 10 {
		p := w.dial()
		p.join("c", "")
		go p.readOn()
	}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			if i%2 == 0 {
				w.server.Close()
			} else if err := w.server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestConnectionsComeWhileTheServerGoes looks for connections that outlive it.
func TestConnectionsComeWhileTheServerGoes(t *testing.T) {
	for i := range 18 {
		var r recorder
		w := overSockets(t, &realtime.Options{Observer: r.observer()})
		w.create("c")
		var all sync.WaitGroup
		attempts := make(chan struct{}, 20)
		for range 4 {
			all.Go(func() {
				for range 5 {
					attempts <- struct{}{}
					conn, _, err := w.tryDial(nil)
					if err != nil {
						return
					}
					conn.Write(t.Context(), websocket.MessageText, []byte(`{"v":1,"type":"subscribe","shareDataId":"c"}`))
					go (&peer{T: t, conn: conn, trusting: true}).readOn()
				}
			})
		}
		for range i {
			<-attempts
		}
		if i%2 == 0 {
			w.server.Close()
		} else if err := w.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		all.Wait()
		opened, closed := 0, 0
		for _, what := range r.inOrder() {
			switch what {
			case "opened":
				opened++
			case "closed":
				closed++
			}
		}
		if opened != closed {
			t.Errorf("%d connections opened, %d closed", opened, closed)
		}
	}
}

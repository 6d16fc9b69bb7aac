package client

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestClose(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, s := f.subscribe(nil)
		c := f.client
		outcome := propose(t, c, proposalOf("x"))
		p.expectPropose()

		start := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("took %v", got)
		}
		if got := <-outcome; !errors.Is(got.err, ErrClosed) {
			t.Errorf("propose: %v", got.err)
		}
		s.expectError(ErrClosed)
		<-p.ended
		if got := websocket.CloseStatus(p.err); got != websocket.StatusNormalClosure {
			t.Errorf("close code %d: %v", got, p.err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.Propose(context.Background(), "x", "add", 1); !errors.Is(err, ErrClosed) {
			t.Errorf("propose: %v", err)
		}
		follow(t, c.Subscribe("x")).expectError(ErrClosed)
		if got := c.Status(); got.State != Closed || !errors.Is(got.Err, ErrClosed) {
			t.Errorf("status %+v", got)
		}
	})
}

func TestClose_SilentServer(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		synctest.Wait()
		f.lastLine.stallFor(4 * time.Second)
		c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		f.lastLine.vanish()
		start := time.Now()
		c.Close()
		if got := time.Since(start); got != closeTimeout {
			t.Errorf("took %v, want %v", got, closeTimeout)
		}
		p.cut()
	})
}

func TestClose_AnyMoment(t *testing.T) {
	tests := []struct {
		name string
		set  func(f *fake)
		at   time.Duration
	}{
		{"at once", func(*fake) {}, 0},
		{"while a handshake is not answered", func(f *fake) { f.hang = true }, time.Second},
		{"while waiting to reconnect", func(f *fake) { f.down = true }, time.Second},
		{"after a refusal for good", func(f *fake) { f.refuse = 401 }, time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				f.set(test.set)
				c := f.start(nil)
				s := follow(t, c.Subscribe("x"))
				outcome := propose(t, c, proposalOf("x"))
				time.Sleep(test.at)
				start := time.Now()
				c.Close()
				if got := time.Since(start); got != 0 {
					t.Errorf("took %v", got)
				}
				s.expectError(ErrClosed)
				if got := <-outcome; !errors.Is(got.err, ErrClosed) {
					t.Errorf("propose: %v", got.err)
				}
			})
		})
	}
}

func TestClose_Concurrent(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, _ := f.connect(nil)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				c.Close()
				if got := c.Status().State; got != Closed {
					t.Errorf("%v after Close", got)
				}
			})
			all.Go(func() {
				s := c.Subscribe("x")
				for _, err := range s.Events(context.Background()) {
					if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrAlreadySubscribed) {
						t.Error(err)
					}
				}
			})
			all.Go(func() {
				if _, err := c.Ping(context.Background()); !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

func TestClose_InsideLoop(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(6))
		synctest.Wait()
		var errs []error
		for _, err := range sub.Events(context.Background()) {
			if err != nil {
				errs = append(errs, err)
			}
			c.Close()
		}
		if len(errs) != 1 || !errors.Is(errs[0], ErrClosed) {
			t.Errorf("errors %v", errs)
		}
	})
}

package client

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// unwritable is a connection that cannot be written to from some point on.
type unwritable struct {
	net.Conn
	failing atomic.Bool
}

func (m *unwritable) Write(p []byte) (int, error) {
	if m.failing.Load() {
		return 0, errors.New("fake: broken pipe")
	}
	return m.Conn.Write(p)
}

func TestWriteError_CloseCode(t *testing.T) {
	for name, closes := range map[string]bool{"it says so": true, "it says nothing": false} {
		t.Run(name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				var line *unwritable
				f.set(func(f *fake) {
					f.wrapNear = func(conn net.Conn) net.Conn { line = &unwritable{Conn: conn}; return line }
				})
				c, p := f.connect(nil)
				line.failing.Store(true)
				start := time.Now()
				outcome := propose(t, c, proposalOf("x"))
				want := graceAfterWriteError + 500*ms
				if closes {
					p.close(4001, "fell behind")
					want = 0
				}
				p = f.accept()
				if got := time.Since(start); got != want {
					t.Errorf("reconnected after %v, want %v", got, want)
				}
				p.send(acceptedAs(p.expectPropose(), "e-1"))
				if got := <-outcome; got.err != nil {
					t.Error(got.err)
				}
			})
		})
	}
}

// vanishing is a connection whose end at the server stops reading and writing at
// some point, as if the network had swallowed it; before that it may stall.
type vanishing struct {
	net.Conn
	mu    sync.Mutex
	gone  bool
	stall time.Duration // before the next read
}

func (d *vanishing) stallFor(stall time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stall = stall
}

func (d *vanishing) vanish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
}

func (d *vanishing) swallowed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

func (d *vanishing) Read(p []byte) (int, error) {
	for {
		d.mu.Lock()
		stall := d.stall
		d.stall = 0
		d.mu.Unlock()
		time.Sleep(stall)
		n, err := d.Conn.Read(p)
		if err != nil || !d.swallowed() {
			return n, err
		}
	}
}

func (d *vanishing) Write(p []byte) (int, error) {
	if d.swallowed() {
		return len(p), nil
	}
	return d.Conn.Write(p)
}

func TestHeartbeat_ServerVanished(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		time.Sleep(10 * time.Minute)
		if got := c.Status().State; got != Open || len(f.attempts()) != 1 {
			t.Fatalf("%v after %d attempts, though every ping was answered", got, len(f.attempts()))
		}
		start := time.Now()
		f.lastLine.vanish()
		outcome := propose(t, c, proposalOf("x"))
		f.accept()
		if got := time.Since(start); got > 61*time.Second {
			t.Errorf("noticed after %v", got)
		}
		if got := <-outcome; !errors.Is(got.err, ErrTimeout) {
			t.Errorf("got %+v", got)
		}
		p.cut()
	})
}

func TestHeartbeat_Off(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{HeartbeatInterval: -1})
		f.lastLine.vanish()
		time.Sleep(time.Hour)
		if got := c.Status().State; got != Open {
			t.Errorf("%v without heartbeats", got)
		}
		p.cut()
	})
}

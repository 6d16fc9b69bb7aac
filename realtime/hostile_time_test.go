package realtime_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

// Peers that take their time: each is closed some time after a message began,
// however alive it seems. Another connection is not affected.
func TestMessageTimeout(t *testing.T) {
	const began, limit = 5 * time.Second, 30 * time.Second
	ping := `{"v":1,"type":"ping","correlationId":"` + string(make([]byte, 200)) + `"}`
	everySecond := func(p *rawPeer, next func(i int) []byte) {
		for i := range 100 {
			if _, err := p.Write(next(i)); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	for _, test := range []struct {
		name   string
		attack func(p *rawPeer)
	}{
		{"one byte at a time", func(p *rawPeer) {
			frame := masked(0x81, ping)
			p.Write(frame[:8])
			everySecond(p, func(i int) []byte { return frame[8+i : 9+i] })
		}},
		{"half a message and then nothing", func(p *rawPeer) { p.Write(masked(0x81, ping)[:20]) }},
		{"a fragment at a time", func(p *rawPeer) {
			p.Write(masked(0x01, "{"))
			everySecond(p, func(int) []byte { return masked(0x00, " ") })
		}},
		{"empty fragments", func(p *rawPeer) {
			p.Write(masked(0x01, ""))
			everySecond(p, func(int) []byte { return masked(0x00, "") })
		}},
		{"pongs inside a message", func(p *rawPeer) {
			p.Write(masked(0x01, "{"))
			everySecond(p, func(int) []byte { return masked(0x8A, "") })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r recorder
				ts := servePipes(t, &realtime.Options{Observer: r.observer(), IdleTimeout: -1})
				ts.create("c")
				good := ts.dial()
				good.join("c", "")
				p := ts.dialRaw()
				written := make(chan struct{})
				go func() {
					defer close(written)
					time.Sleep(began)
					test.attack(p)
				}()
				if _, code := p.countFrames(); code != codes.ClosePolicyViolation {
					t.Errorf("close code %d", code)
				}
				if took := time.Since(r.firstOpened()); took != began+limit {
					t.Errorf("closed %v after it was opened, want %v", took, began+limit)
				}
				p.Close()
				<-written
				r.wantClosed(t, codes.ClosePolicyViolation)
				ts.add("c", 1)
				good.wantTransactions(2, 2)
			})
		})
	}
}

// A message that takes long, but not too long, is read.
func TestMessageTimeout_SlowButInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: -1})
		p := ts.dialRaw()
		written := make(chan struct{})
		go func() {
			defer close(written)
			for range 2 {
				for _, b := range masked(0x81, `{"v":1,"type":"ping","correlationId":"a"}`) {
					time.Sleep(500 * time.Millisecond)
					p.Write([]byte{b})
				}
				time.Sleep(time.Minute)
			}
		}()
		for range 2 {
			if _, payload, err := readServerFrame(p.frames); err != nil || string(payload) != `{"v":1,"type":"pong","correlationId":"a"}` {
				t.Fatalf("%s, %v", payload, err)
			}
		}
		<-written
	})
}

// The time that a message may take is over when the message is there: the next one may take
// any time to come.
func TestMessageTimeout_Over(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: -1, IdleTimeout: -1})
		p := ts.dialRaw()
		message := masked(0x81, `{"v":1,"type":"ping","correlationId":"a"}`)
		for _, pause := range []time.Duration{0, 0, time.Hour, 0} {
			time.Sleep(time.Millisecond)
			p.Write(message[:20])
			time.Sleep(time.Millisecond)
			p.Write(message[20:])
			if _, payload, err := readServerFrame(p.frames); err != nil || string(payload) != `{"v":1,"type":"pong","correlationId":"a"}` {
				t.Fatalf("%s, %v", payload, err)
			}
			time.Sleep(pause)
		}
	})
}

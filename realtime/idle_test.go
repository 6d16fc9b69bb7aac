package realtime_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{Observer: r.observer(), IdleTimeout: time.Minute})
		ts.create("c")
		p := ts.dial()
		read := make(chan struct{})
		go func() {
			defer close(read)
			p.readOn() // answers pings, which are no messages
		}()
		p.subscribe("c", "")
		time.Sleep(10 * time.Minute)
		if len(r.closed) != 0 {
			t.Fatalf("closed with a subscription: %+v", <-r.closed)
		}
		p.send(`{"v":1,"type":"unsubscribe","shareDataId":"c"}`)
		for range 10 {
			time.Sleep(50 * time.Second)
			p.ping("a")
		}
		last := time.Now()
		if c := r.wantClosed(t, codes.CloseGoingAway); time.Since(last) != time.Minute {
			t.Errorf("closed %v after the last message: %+v", time.Since(last), c)
		}
		<-read
	})
}

// What the library needs to read is more than all the rest of an idle connection.
func TestIdle_NoMessageReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: -1})
		peers := []*peer{ts.dial(), ts.dial()}
		for range 3 {
			for _, p := range peers {
				go p.conn.Ping(t.Context())
				p.ping("a")
				p.wantPong("a")
			}
			synctest.Wait()
			if n := ts.server.ReadersInUse(); n != 0 {
				t.Fatalf("%d connections have a reader", n)
			}
		}
	})
}

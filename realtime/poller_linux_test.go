package realtime_test

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
)

// Idle connections have no goroutines, and are read from as before.
func TestPoller_NoGoroutines(t *testing.T) {
	ts := serve(t, &realtime.Options{Heartbeat: -1})
	ts.create("c")
	active := ts.dial()
	active.join("c", "")
	before := runtime.NumGoroutine()
	const n = 100
	var conns []net.Conn
	for range n {
		p := ts.dialRaw()
		p.Write(masked(0x81, `{"v":1,"type":"subscribe","shareDataId":"c"}`))
		if _, err := p.frames.ReadByte(); err != nil { // of the state
			t.Fatal(err)
		}
		conns = append(conns, p)
	}
	const kept = 40 // goroutines that wait for other work
	for deadline := time.Now().Add(testTimeout); runtime.NumGoroutine() > before+kept; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections have %d goroutines", n, runtime.NumGoroutine()-before)
		}
	}
	for _, conn := range conns {
		conn.Close()
	}
	for deadline := time.Now().Add(testTimeout); len(ts.server.Connections()) > 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", len(ts.server.Connections()))
		}
	}
	active.ping("a")
	active.wantPong("a")
}

// A connection that is cut while it begins to wait, or while its peer sends, ends.
func TestPoller_CutWhileParking(t *testing.T) {
	for range 20 {
		ts := serve(t, nil)
		var peers []*rawPeer
		for range 20 {
			peers = append(peers, ts.dialRaw())
		}
		var writers sync.WaitGroup
		for _, p := range peers {
			writers.Go(func() {
				for err := error(nil); err == nil; _, err = p.Write(masked(0x89, "")) {
				}
			})
		}
		ts.server.Close() // returns when all have ended
		if left := len(ts.server.Connections()); left != 0 {
			t.Errorf("%d connections are left", left)
		}
		writers.Wait()
	}
}

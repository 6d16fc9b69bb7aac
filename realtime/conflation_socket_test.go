package realtime_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// slowConn reads at most a bit more than 1 MB a second, and the kernel keeps little
// for it: what is on its way is outdated.
type slowConn struct {
	net.Conn
	pace *time.Ticker
}

func (s slowConn) Read(p []byte) (int, error) {
	<-s.pace.C
	return s.Conn.Read(p[:min(len(p), 16<<10)])
}

// dated is a state that says when it was made.
type dated struct {
	At  int64  `json:"at"` // Unix nanoseconds
	Pad string `json:"pad"`
}

// A peer on a connection of 1 MB/s that conflates follows 500 changes a second of 200 KB: it
// stays current, costs about one state, and its connection lives.
func TestConflation_SlowConnection(t *testing.T) {
	const stateBytes, interval, duration = 200 << 10, 2 * time.Millisecond, 3 * time.Second
	touch := sharedata.NewPatchFunction("touch", func(context.Context, sharedata.Document, any) (p sharedata.Patch, err error) {
		p.Replace("/at", time.Now().UnixNano())
		return p, nil
	})
	ts := serve(t, &realtime.Options{MaxBufferedBytes: 1 << 20})
	if _, err := ts.manager.Create(t.Context(), "c", dated{time.Now().UnixNano(), strings.Repeat("x", stateBytes)}, touch); err != nil {
		t.Fatal(err)
	}
	pace := time.NewTicker(16 * time.Millisecond)
	defer pace.Stop()
	ts.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			conn.(*net.TCPConn).SetReadBuffer(32 << 10)
		}
		return slowConn{conn, pace}, err
	}}}
	c := subscribeConflated(ts.dial(), "c", "")

	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var changing sync.WaitGroup
	changes, most := 0, 0
	changing.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for ; ctx.Err() == nil; <-ticker.C {
			ts.manager.Submit(t.Context(), sharedata.Proposal{ShareDataID: "c", FunctionID: "touch"}, func(_ sharedata.Verdict, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			changes++
			most = max(most, ts.server.Waiting())
		}
	})
	var oldest time.Duration
	frames := 0
	for ; ctx.Err() == nil; frames++ {
		var state dated
		switch m := c.read().(type) {
		case *wire.State:
			json.Unmarshal(m.CurrentState, &state)
		case *wire.Transaction:
			json.Unmarshal(m.CurrentState, &state)
		}
		oldest = max(oldest, time.Since(time.Unix(0, state.At)))
	}
	changing.Wait()
	t.Logf("%d changes, %d frames, %d skipped; oldest %v; at most %d bytes waited", changes, frames, c.skipped, oldest, most)
	for c.last < uint64(1+changes) {
		c.read()
	}
	if most > stateBytes+stateBytes/10 {
		t.Errorf("%d bytes waited, want about one state", most)
	}
	if oldest > time.Second && runtime.GOOS == "linux" && !realtime.RaceEnabled { // elsewhere the kernel keeps more
		t.Errorf("the peer was sent a state that was %v old", oldest)
	}
	c.wantPong("the end")
}

package realtime_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// serveUntil runs Serve on pipes until the context ends.
func serveUntil(ctx context.Context, t *testing.T, options *realtime.Options, web *http.Server) (*testServer, <-chan error) {
	ts := newTestServer(t, sharedata.Options{}, options)
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	transport := &http.Transport{DialContext: listener.dial}
	t.Cleanup(transport.CloseIdleConnections)
	ts.url, ts.client = inMemory, &http.Client{Transport: transport}
	web.Handler = ts.server
	served := make(chan error, 1)
	go func() { served <- ts.server.Serve(ctx, listener, web) }()
	return ts, served
}

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var web http.Server
		ts, served := serveUntil(ctx, t, nil, &web)
		slow, unblock := blockingFunction("slow")
		ts.create("c", slow)
		p := ts.dial()
		p.propose("c", "slow", "null", "in flight")
		synctest.Wait()
		cancel()
		time.Sleep(time.Second)
		unblock()
		if r := want[*wire.ProposalResult](p); r.CorrelationID != "in flight" || !r.Accepted {
			t.Errorf("got %s", r.AppendTo(nil))
		}
		p.wantClose(codes.CloseGoingAway)
		if err := <-served; err != nil {
			t.Error(err)
		}
		if web.ReadHeaderTimeout != 10*time.Second || web.MaxHeaderBytes != 32<<10 {
			t.Errorf("limits: %v, %d", web.ReadHeaderTimeout, web.MaxHeaderBytes)
		}
	})
}

func TestServe_ShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ts, served := serveUntil(ctx, t, &realtime.Options{ShutdownTimeout: 3 * time.Second}, &http.Server{ReadTimeout: -1})
		slow, unblock := blockingFunction("slow")
		defer unblock()
		ts.create("c", slow)
		p := ts.dial()
		p.propose("c", "slow", "null", "in flight")
		synctest.Wait()
		cancel()
		began := time.Now()
		if err := <-served; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestServe_ListenerFails(t *testing.T) {
	ts := newTestServer(t, sharedata.Options{}, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := ts.server.Serve(t.Context(), listener, &http.Server{Handler: ts.server}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want the listener's error", err)
	}
}

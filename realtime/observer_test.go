package realtime_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// recorder keeps the events of a server.
type recorder struct {
	mu     sync.Mutex
	opened []realtime.Connection
	over   []realtime.OverflowEvent
	failed []realtime.StoreFailureEvent
	order  []string
	closed chan realtime.CloseEvent
}

func (r *recorder) observer() realtime.Observer {
	r.closed = make(chan realtime.CloseEvent, 1000)
	note := func(what string, keep func()) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.order = append(r.order, what)
		keep()
	}
	return realtime.Observer{
		OnOpen:         func(c realtime.Connection) { note("opened", func() { r.opened = append(r.opened, c) }) },
		OnOverflow:     func(o realtime.OverflowEvent) { note("overflow", func() { r.over = append(r.over, o) }) },
		OnStoreFailure: func(f realtime.StoreFailureEvent) { note("failed", func() { r.failed = append(r.failed, f) }) },
		OnClose: func(c realtime.CloseEvent) {
			note("closed", func() {})
			r.closed <- c
		},
	}
}

// firstOpened returns when the first connection was opened.
func (r *recorder) firstOpened() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened[0].OpenedAt
}

func (r *recorder) wantClosed(t *testing.T, code int) realtime.CloseEvent {
	t.Helper()
	select {
	case c := <-r.closed:
		if c.Code != code {
			t.Fatalf("want closed event with code %d, got %+v", code, c)
		}
		return c
	case <-time.After(90 * time.Second): // of fake time, mostly
		t.Fatal("no closed event")
	}
	return realtime.CloseEvent{}
}

// overflows returns those that were reported so far.
func (r *recorder) overflows() []realtime.OverflowEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.over)
}

func (r *recorder) inOrder() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

func TestObserver_Panics(t *testing.T) {
	closed := make(chan struct{})
	ts := serve(t, &realtime.Options{Observer: realtime.Observer{
		OnOpen: func(realtime.Connection) { panic("opened") },
		OnClose: func(realtime.CloseEvent) {
			defer close(closed)
			panic("closed")
		},
	}, Authenticate: func(*http.Request) (*sharedata.Caller, error) {
		return &sharedata.Caller{Subject: "ada"}, nil
	}})
	p := ts.dial()
	p.wantPong("1")
	p.conn.Close(websocket.StatusNormalClosure, "bye")
	<-closed
}

func TestObserver_OnClose(t *testing.T) {
	var r recorder
	ts := serve(t, &realtime.Options{Observer: r.observer(), Authenticate: authenticateAs(&sharedata.Caller{Subject: "ada"})})
	p := ts.dial()
	p.conn.Close(4567, "enough")
	if c := r.wantClosed(t, 4567); c.Reason != "enough" || c.Caller.Subject != "ada" || c.ID != 1 || c.RemoteAddr == "" {
		t.Errorf("got %+v", c)
	}
	p = ts.dial()
	p.send(`nonsense`)
	p.wantError(codes.InvalidMessage, "")
	p.wantClose(codes.CloseInvalidMessage)
	if c := r.wantClosed(t, codes.CloseInvalidMessage); c.ID != 2 {
		t.Errorf("got %+v", c)
	}
	p = ts.dial()
	p.conn.CloseNow()
	if c := r.wantClosed(t, 1006); c.Reason == "" {
		t.Errorf("got %+v", c)
	}
	p = ts.dial()
	go ts.server.Close()
	if _, err := p.next(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if c := r.wantClosed(t, 1006); c.Reason != "the server was closed" {
		t.Errorf("got %+v", c)
	}
}

func TestObserver_OnStoreFailure(t *testing.T) {
	store := newFailingStore(t, nil)
	var r recorder
	ts := serveStore(t, store, &realtime.Options{Observer: r.observer()})
	ts.create("c")
	p := ts.dial()
	store.failAppend.Store(true)
	p.propose("c", "add", `{"by":1}`, "1")
	result := want[*wire.ProposalResult](p)
	if result.Accepted || !strings.Contains(result.Error, "same idempotencyKey") || strings.Contains(result.Error, "fire") {
		t.Errorf("got %s", result.AppendTo(nil))
	}
	store.failAppend.Store(false)
	p.propose("c", "add", `{"by":1}`, "2")
	if result := want[*wire.ProposalResult](p); !result.Accepted {
		t.Errorf("after the store came back: %s", result.AppendTo(nil))
	}
	p.conn.CloseNow()
	r.wantClosed(t, 1006)
	ts.server.Close() // waits for observers
	if len(r.failed) != 1 || r.failed[0].ShareDataID != "c" || !errors.Is(r.failed[0].Err, sharedata.ErrStore) {
		t.Errorf("events: %+v", r.failed)
	}
}

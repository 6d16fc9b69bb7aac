package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

type counter struct {
	Value int `json:"value"`
}

type addition struct {
	By int `json:"by"`
}

// functions are those of every ShareData of this project's server. node/server.js has
// the same ones.
var functions = []*sharedata.Function{
	sharedata.NewFunction("add", func(_ context.Context, c counter, in addition) (counter, error) {
		if c.Value+in.By < 0 {
			return c, sharedata.Reject("below zero")
		}
		return counter{c.Value + in.By}, nil
	}).WithInputSchema(`{"type": "object", "required": ["by"]}`),
	sharedata.NewRawFunction("set", func(_ context.Context, _, in json.RawMessage) (json.RawMessage, error) {
		return in, nil
	}),
	sharedata.NewRawFunction("fail", func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
		return nil, errors.New("out of order")
	}),
}

// ourServer is a server of this project, behind a proxy.
type ourServer struct {
	t       *testing.T
	manager *sharedata.Manager
	server  *realtime.Server
	address string // host:port
	proxy   *proxy
	// closed receives how connections ended.
	closed chan realtime.CloseEvent
}

// startOurs starts a server with a counter, behind a proxy.
func startOurs(t *testing.T, options *realtime.Options) *ourServer {
	t.Helper()
	manager := newManager(t)
	s := serve(t, manager, options)
	s.create("counter", counter{})
	s.proxy = newProxy(t, s.address)
	return s
}

// subscribeOurs starts a server, and a published client that is subscribed to its
// counter.
func subscribeOurs(t *testing.T, options *realtime.Options) (*ourServer, *publishedClient) {
	t.Helper()
	s := startOurs(t, options)
	c := connectClient(t, s.proxy.url(), nil)
	c.subscribe("counter", `state of counter: {"value":0}, last none`)
	return s, c
}

func newManager(t *testing.T) *sharedata.Manager {
	t.Helper()
	// The store keeps at least the replay window.
	store, err := replay.NewMemory(&replay.MemoryOptions{MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	return manager
}

// serve starts a server without a proxy.
func serve(t *testing.T, manager *sharedata.Manager, options *realtime.Options) *ourServer {
	t.Helper()
	s := &ourServer{t: t, manager: manager, closed: make(chan realtime.CloseEvent, 100)}
	var own realtime.Options
	if options != nil {
		own = *options
	}
	own.Observer.OnClose = func(c realtime.CloseEvent) { s.closed <- c }
	server, err := realtime.NewServer(manager, &own)
	if err != nil {
		t.Fatal(err)
	}
	s.server = server
	mux := http.NewServeMux()
	mux.Handle("/realtime", s.server)
	h := httptest.NewServer(mux)
	s.address = h.Listener.Addr().String()
	t.Cleanup(func() {
		s.server.Close()
		h.Close()
	})
	return s
}

func (s *ourServer) create(id string, state any) {
	s.t.Helper()
	if _, err := s.manager.Create(s.t.Context(), id, state, functions...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *ourServer) update(id string, state any) {
	s.t.Helper()
	if _, err := s.manager.Update(s.t.Context(), id, state); err != nil {
		s.t.Fatal(err)
	}
}

func (s *ourServer) remove(id string) {
	s.t.Helper()
	if err := s.manager.Remove(s.t.Context(), id); err != nil {
		s.t.Fatal(err)
	}
}

// propose proposes and returns its transactionId.
func (s *ourServer) propose(id, functionID string, data any) string {
	s.t.Helper()
	verdict, err := s.manager.Propose(s.t.Context(), sharedata.Proposal{ShareDataID: id, FunctionID: functionID, Data: data})
	if err != nil {
		s.t.Fatal(err)
	}
	return verdict.Cursor.String()
}

// add adds 1 to the counter a number of times.
func (s *ourServer) add(times int) {
	s.t.Helper()
	for range times {
		s.propose("counter", "add", addition{1})
	}
}

// wantClosed waits for the end of a connection.
func (s *ourServer) wantClosed(code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), testTimeout)
	defer cancel()
	select {
	case c := <-s.closed:
		if c.Code != code {
			s.t.Errorf("a connection was closed with %d %q, want %d", c.Code, c.Reason, code)
		}
	case <-ctx.Done():
		s.t.Fatalf("no connection was closed, want %d", code)
	}
}

// countedTo returns the live events of the published client for additions from the
// first value to the last.
func countedTo(first, last int) []string {
	var events []string
	for n := first; n <= last; n++ {
		// Revision 1 is the creation.
		events = append(events, fmt.Sprintf(`#%d of counter accepted: {"value":%d}`, n+1, n))
	}
	return events
}

// replayedTo is countedTo for replayed events.
func replayedTo(first, last int) []string {
	var events []string
	for n := first; n <= last; n++ {
		events = append(events, fmt.Sprintf("#%d of counter accepted, replayed", n+1))
	}
	return events
}

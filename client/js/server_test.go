package js_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/sharedata"
)

// window is the replay window of the servers. It is small, so that clients miss more.
const window = 25

type counter struct {
	Value int64 `json:"value"`
}

// list is a state that is larger than what its function changes.
type list struct {
	Pad   string  `json:"pad"`
	Items []int64 `json:"items"`
}

var kinds = []sharedata.Kind{
	sharedata.NewKind("counter", sharedata.NewFunction("add", func(_ context.Context, c counter, in struct {
		By int64 `json:"by"`
	}) (counter, error) {
		if c.Value += in.By; c.Value < 0 {
			return c, sharedata.Reject("below zero")
		}
		return c, nil
	})),
	sharedata.NewKind("list", sharedata.NewFunction("push", func(_ context.Context, l list, n int64) (list, error) {
		if l.Items = append(l.Items, n); len(l.Items) > 20 {
			l.Items = l.Items[1:]
		}
		return l, nil
	})),
}

// server is a real server on one file. It can be restarted, and its connections cut.
type server struct {
	t        *testing.T
	ctx      context.Context
	recorder *checker.Recorder
	path     string
	listener *flakyListener
	// noWebSocket refuses upgrades, as some proxies do. It is set before the first client.
	noWebSocket bool

	mu       sync.RWMutex // held for reading by requests to what restart replaces
	store    *bolt.Store
	manager  *sharedata.Manager
	realtime *realtime.Server
}

func newServer(t *testing.T) *server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{
		t: t, ctx: ctx, recorder: checker.NewRecorder(), path: filepath.Join(t.TempDir(), "history"),
		listener: &flakyListener{Listener: listener, conns: make(map[net.Conn]struct{})},
	}
	s.start()
	serveRealtime := func(w http.ResponseWriter, r *http.Request) {
		if s.noWebSocket && r.Header.Get("Upgrade") != "" {
			http.Error(w, "blocked", http.StatusBadGateway)
			return
		}
		s.mu.RLock()
		current := s.realtime
		s.mu.RUnlock()
		current.ServeHTTP(w, r)
	}
	web := &http.Server{Handler: http.HandlerFunc(serveRealtime)}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(s.listener) }()
	t.Cleanup(func() {
		web.Close()
		s.listener.cut()
		s.stop()
		<-ended
	})
	return s
}

func (s *server) url() string { return "http://" + s.listener.Addr().String() }

func (s *server) start() {
	var errStore, errManager, errServer error
	s.store, errStore = bolt.Open(s.path, nil)
	s.manager, errManager = sharedata.NewManager(&sharedata.Options{Store: s.store, Kinds: kinds})
	s.manager.ObserveAll(s.recorder)
	s.realtime, errServer = realtime.NewServer(s.manager, &realtime.Options{ReplayWindow: window, OriginPatterns: []string{"127.0.0.1:*"}})
	if err := errors.Join(errStore, errManager, errServer); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) stop() {
	if err := errors.Join(s.realtime.Close(), s.manager.Close(), s.store.Close()); err != nil {
		s.t.Error(err)
	}
}

func (s *server) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	s.start()
}

// create creates a ShareData of the kind that is its id.
func (s *server) create(id string) {
	state := json.RawMessage(`{"value":0}`)
	if id == "list" {
		state = fmt.Appendf(nil, `{"pad":"%01000d","items":[]}`, 0)
	}
	pending := s.recorder.Creating(checker.Proposal{Proposer: "server", ShareData: id, Data: state})
	s.answer(pending)(s.manager.CreateKind(s.ctx, id, id, state))
}

func (s *server) update(id string, state json.RawMessage) {
	pending := s.recorder.Updating(checker.Proposal{Proposer: "server", ShareData: id, Data: state})
	s.answer(pending)(s.manager.Update(s.ctx, id, state))
}

func (s *server) answer(pending *checker.Pending) func(sharedata.Snapshot, error) {
	return func(snapshot sharedata.Snapshot, err error) {
		if err != nil {
			s.t.Error(err)
			return
		}
		pending.Answered(checker.Answer{Accepted: true, TransactionID: snapshot.Cursor.String()})
	}
}

// recreate removes a ShareData and creates it again.
func (s *server) recreate(id string) {
	s.recordHistory(id)
	removed := s.recorder.Removing(id)
	if err := s.manager.Remove(s.ctx, id); err != nil {
		s.t.Error(err)
	}
	removed(replay.NewEpoch(0))
	s.create(id)
}

func (s *server) recordHistory(id string) {
	var entries []sharedata.Entry
	for entry, err := range s.manager.History(s.ctx, id, replay.Cursor{}) {
		if err != nil {
			s.t.Error(err)
			return
		}
		entries = append(entries, entry)
	}
	s.recorder.History(entries)
}

// change proposes at the server, without a client.
func (s *server) change(id string) {
	p := checker.Proposal{Proposer: "server", ShareData: id, Function: "add", Data: json.RawMessage(`{"by":1}`)}
	if id == "list" {
		p.Function, p.Data = "push", json.RawMessage("7")
	}
	pending := s.recorder.Proposed(p)
	verdict, err := s.manager.Propose(s.ctx, sharedata.Proposal{ShareDataID: id, FunctionID: p.Function, Data: p.Data})
	if err != nil {
		s.t.Error(err)
		return
	}
	pending.Answered(checker.Answer{Accepted: verdict.Accepted, TransactionID: verdict.Cursor.String()})
}

// flakyListener accepts connections that can be cut, also in the middle of a frame.
type flakyListener struct {
	net.Listener
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	down  bool // new connections are closed at once
	bytes int  // how many bytes are sent on a new connection; 0: all
}

func (l *flakyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		conn.Close()
	}
	cut := &flakyConn{Conn: conn, listener: l, left: l.bytes, limited: l.bytes > 0}
	l.conns[cut] = struct{}{}
	return cut, nil
}

// set changes what happens to new connections, and cuts the present ones.
func (l *flakyListener) set(down bool, bytes int) {
	l.mu.Lock()
	l.down, l.bytes = down, bytes
	l.mu.Unlock()
	l.cut()
}

func (l *flakyListener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.(*flakyConn).Conn.Close()
	}
}

type flakyConn struct {
	net.Conn
	listener *flakyListener
	limited  bool
	left     int // used by the writer
}

func (c *flakyConn) Write(p []byte) (int, error) {
	if !c.limited {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.Conn.Close()
		return n, net.ErrClosed
	}
	return n, err
}

func (c *flakyConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// newLocalServer serves until the test ends, and returns its URL.
func newLocalServer(t *testing.T, handler http.Handler) string {
	t.Helper()
	local := httptest.NewServer(handler)
	t.Cleanup(local.Close)
	return local.URL
}

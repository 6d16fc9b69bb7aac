package realtime

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/safe-go/safe/schemas"
	"github.com/safe-go/safe/sharedata"
)

// Server serves the ShareData of a manager over WebSocket. It is an http.Handler
// that may be mounted at any path, behind middleware whose http.ResponseWriter
// is an http.Hijacker or has an Unwrap method. Create it with NewServer. All
// methods may be called from any number of goroutines.
type Server struct {
	manager   *sharedata.Manager
	options   Options
	log       *slog.Logger // options.Logger, rate-limited
	hub       *hub
	validator func() (*schemas.Validator, error)

	// Who is served: see alarms, revocationList, revocationLease and Reauthorize.
	expiries         alarms // by the wall clock
	revocations      revocationList
	lease            *revocationLease
	reauthorizations atomic.Uint64 // see session.authorizationVersion
	disconnects      atomic.Uint64 // counts the calls of Disconnect
	// revoke and reauthorization are the functions of RevocationsID, and id tells
	// this server's entries there from those of others.
	revoke, reauthorization *sharedata.Function
	id                      string
	stopObserving           func()

	alarms alarms // heartbeats and idle checks

	goroutines *goroutines
	poller     poller

	buffers  sync.Pool // *writeBuffer
	messages sync.Pool // *bytes.Buffer, for readers

	messageReaders messageReaders

	// ctx ends with Close.
	ctx    context.Context
	cancel context.CancelFunc
	// running counts the goroutines of the server and the upgrades in progress,
	// proposals those in flight, also of connections that have ended.
	running   waitGroup
	proposals waitGroup

	mu       sync.Mutex
	draining bool
	sessions map[*session]struct{}
	pending  map[*pendingConnection]struct{}
	// confirming says that renewLease runs.
	confirming bool
	lastID     uint64

	admission *admission
	requests  requestLimits
}

// NewServer returns a Server for a manager. Nil options are good; they are
// copied. The error says which option is invalid. Shut the server down before
// the manager is closed.
func NewServer(manager *sharedata.Manager, options *Options) (*Server, error) {
	effective, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		manager:   manager,
		options:   effective,
		log:       slog.New(newRateLimitedHandler(effective.Logger.Handler())),
		validator: sync.OnceValues(schemas.New),
		sessions:  make(map[*session]struct{}),
		pending:   make(map[*pendingConnection]struct{}),

		goroutines: newGoroutines(),

		revoke:          revokeFunction(effective.RevocationRetention),
		reauthorization: reauthorizeFunction(),
		id:              rand.Text(),
	}
	s.admission = newAdmission(&s.options)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.lease = newRevocationLease(manager.SharedStore(), s.refreshRevocations)
	s.stopObserving = manager.ObserveAll(sharedata.ObserverFunc(s.observeRevocations))
	s.hub = &hub{manager: manager, ctx: s.ctx, lease: s.lease, channels: make(map[string]*channel)}
	s.buffers.New = newWriteBuffer
	ring := func(a *alarm) { a.session.ring(a.kind) }
	s.expiries = alarms{ring: ring, track: s.runTracked, wall: true}
	s.alarms = alarms{ring: ring, track: s.runTracked}
	s.messages.New = func() any { return new(bytes.Buffer) }
	return s, nil
}

// Shutdown ends the server gracefully. From now on new connections are refused
// with 503. Open ones are drained one group after the other, at the pace of
// Options.DrainPerSecond: only pings are answered then, and when the results of the
// connection's proposals in flight and what is queued for it are written, it is
// closed with 1001. Connections that are still open when the context ends are
// cut.
//
// It returns when no goroutine of the server runs any more; the error is the
// context's if that ended first. It may be called twice, and together with Close.
// Call it before http.Server.Shutdown, which does not wait for upgraded connections,
// and before Manager.Close.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	s.drainAll(ctx)
	err := wait(ctx, s.running.whenIdle())
	if err == nil {
		err = wait(ctx, s.proposals.whenIdle())
	}
	s.Close()
	return err
}

func wait(ctx context.Context, idle <-chan struct{}) error {
	select {
	case <-idle:
		return nil
	default:
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the server at once: every connection is cut, and the contexts of
// hooks and of proposals end. It returns when no goroutine of the server runs
// any more, which takes as long as the slowest hook that is running. It may be
// called twice. The error is always nil.
func (s *Server) Close() error {
	s.running.close()
	s.proposals.close()
	s.cancel()
	s.stopAccepting()
	for _, session := range s.openSessions() {
		session.cut("the server was closed")
	}
	<-s.running.whenIdle()
	s.poller.close()
	s.hub.files.close()
	s.goroutines.close()
	s.stopObserving()
	s.lease.close()
	return nil
}

// stopAccepting makes the server accept no more connections.
func (s *Server) stopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

func (s *Server) openSessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.sessions))
}

// spawn runs f on a goroutine that Close waits for, unless the server was
// closed. A panic in it cuts the session, which may be nil.
func (s *Server) spawn(session *session, f func()) bool {
	if !s.running.add() {
		return false
	}
	go func() {
		defer s.running.done()
		defer s.recoverIn(session)
		f()
	}()
	return true
}

// runTracked runs f while Close waits for it, unless the server was closed.
func (s *Server) runTracked(f func()) {
	if s.running.add() {
		defer s.running.done()
		f()
	}
}

// recoverIn is deferred where a panic is to cost one connection and no more. The
// session may be nil.
func (s *Server) recoverIn(session *session) {
	if value := recover(); value != nil {
		s.log.Error("panic in a connection", "panic", value, "stack", string(debug.Stack()))
		if session != nil {
			session.cut("internal error")
		}
	}
}

// keptMessage is the largest buffer that is kept for further messages.
const keptMessage = 64 << 10

func (s *Server) putMessage(buffer *bytes.Buffer) {
	if buffer.Cap() <= keptMessage {
		buffer.Reset()
		s.messages.Put(buffer)
	}
}

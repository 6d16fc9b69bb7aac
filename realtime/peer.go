package realtime

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// Peer is a connection of the application's to one client, for a Session.
type Peer interface {
	// Write sends what Protocol.Encode has returned, message by message, in order. One
	// goroutine of the session calls it at a time. It may block: what waits meanwhile is
	// bounded by Options.MaxBufferedBytes. An error ends the session. The messages are
	// shared with other sessions and must not be changed; the slice is valid during the
	// call.
	Write(messages [][]byte) error
	// Ping is called every Options.Heartbeat by the goroutine that calls Write. It may
	// send something to which a living client replies, upon which the application calls
	// Session.Received, or do nothing.
	Ping() error
	// Close ends the connection, and a Write that blocks. It is called when the session
	// ends, from any goroutine and perhaps more than once: first with a code of package
	// codes and why, after the last Write; or at once, with codes.CloseNormal after
	// Session.Close.
	Close(code int, reason string)
}

// SessionOptions configure a Session. Protocol must be set.
type SessionOptions struct {
	Protocol *Protocol
	// Caller is who the client is, where the application has found that out itself; it
	// must not have expired or been revoked. Default: Options.Authenticate is asked.
	Caller *sharedata.Caller
	// AnswersPings says that a living client replies to Peer.Ping: one for which
	// Received is not called within a heartbeat is disconnected. Default: a client is
	// disconnected when it does not read what is being written to it.
	AnswersPings bool
}

// OpenError says why Open has not opened a session, as an HTTP response would.
type OpenError struct {
	// Status is an HTTP status: 401, 429 or 503.
	Status int
	// RetryAfter is when it may succeed; 0 if that is not known.
	RetryAfter time.Duration
	// Reason is a text for the client.
	Reason string
}

func (e *OpenError) Error() string { return "realtime: no session: " + e.Reason }

var errNoProtocol = errors.New("realtime: Open: SessionOptions.Protocol and its Encode must be set")

// Open opens a session for a client that the application is connected to. The request
// is that by which it connected: its address is counted, and Options.Authenticate asked,
// unless the caller is known. Errors are an *OpenError, and one for missing options. The
// session ends with Close, with the server, or when the client is disconnected; Done
// tells.
func (s *Server) Open(r *http.Request, peer Peer, options *SessionOptions) (*Session, error) {
	if options == nil || options.Protocol == nil || options.Protocol.Encode == nil {
		return nil, errNoProtocol
	}
	if s.isDraining() || !s.running.add() {
		return nil, &OpenError{Status: http.StatusServiceUnavailable, RetryAfter: retryAfter, Reason: "the server is shutting down"}
	}
	opened, err := s.open(r, peer, options)
	if err != nil {
		s.running.done()
	}
	return opened, err
}

func (s *Server) open(r *http.Request, peer Peer, options *SessionOptions) (*Session, error) {
	remote, address := s.options.remoteAddr(r)
	counted, over := s.admission.admit(address)
	if over != nil {
		return nil, over.openError()
	}
	pending, err := s.openAs(r, remote, options.Caller)
	if err == nil {
		defer s.removePending(pending)
		over = counted.countSubject(pending.info.Caller)
	}
	switch {
	case isTransient(err):
		err = &OpenError{Status: http.StatusServiceUnavailable, RetryAfter: retryAfter, Reason: "credentials cannot be checked at the moment"}
	case err != nil:
		s.log.Warn("credentials refused", "remote", remote, "error", shorten(err.Error()))
		err = &OpenError{Status: http.StatusUnauthorized, Reason: "authentication failed"}
	case over != nil:
		err = over.openError()
	}
	if err != nil {
		counted.release()
		return nil, err
	}
	session := newSession(s, pending.info, counted)
	t := &peerTransport{peer: peer, session: session, answers: options.AnswersPings, stopped: make(chan struct{})}
	session.transport = t
	opened := session.openAs(options.Protocol, t)
	s.register(session, pending)
	go s.runSession(session)
	return opened, nil
}

// peerTransport is the transport of a Peer.
type peerTransport struct {
	peer     Peer
	answers  bool
	received atomic.Uint64 // calls of Received
	written  atomic.Uint64
	ending   sync.Once
	stopped  chan struct{} // closed by end
	session  *session
}

// read implements transport: the application reads.
func (t *peerTransport) read(s *session) error {
	<-t.stopped
	return nil
}

// write implements transport.
func (t *peerTransport) write(c *chunk, buffer *writeBuffer) error {
	if c.ping {
		if err := t.peer.Ping(); err != nil {
			return err
		}
	}
	var err error
	if c.frames, err = t.session.applicationFrames(c.frames); err != nil {
		return err
	}
	messages := buffer.parts[:0]
	for _, f := range c.frames {
		messages = append(messages, f.text)
	}
	if len(messages) > 0 {
		err = t.peer.Write(messages)
		for _, m := range messages {
			t.written.Add(uint64(len(m)))
		}
	}
	clear(messages)
	buffer.parts = messages[:0]
	if c.last && err == nil {
		t.peer.Close(c.code, c.reason)
		t.end()
	}
	return err
}

func (t *peerTransport) end() { t.ending.Do(func() { close(t.stopped) }) }

// traffic implements transport.
func (t *peerTransport) traffic() (received, written uint64) {
	return t.received.Load(), t.written.Load()
}

// answersPings implements transport.
func (t *peerTransport) answersPings() bool { return t.answers }

// boundUnsent implements transport.
func (t *peerTransport) boundUnsent() {}

// cut implements transport.
func (t *peerTransport) cut() {
	t.peer.Close(codes.CloseNormal, "")
	t.end()
}

// closeFrame implements transport.
func (t *peerTransport) closeFrame(error) (code int, reason string) {
	return codes.CloseNormal, "the session was ended"
}

package realtime

import (
	"errors"
	"io"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/schemas/codes"
)

// close has what is queued written, then a close frame. The peer has some time
// to read up to it and to answer it. It returns false if the session was closing
// already.
func (s *session) close(code int, reason string) bool {
	if !s.beginClosing() {
		return false
	}
	s.endSubscriptions()
	s.out.closeAfterFlush(code, reason)
	return true
}

// beginClosing makes the session accept no more messages. It returns false if
// the session was closing already.
func (s *session) beginClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.closing = true
	s.stopTimersLocked()
	s.closeTimer = time.AfterFunc(s.server.options.closeTimeout(), func() {
		s.server.runTracked(func() { s.cut("the peer did not answer the close frame") })
	})
	return true
}

func (s *session) stopTimersLocked() {
	s.server.alarms.set(&s.heartbeat, time.Time{})
	s.server.alarms.set(&s.idle.alarm, time.Time{})
	if s.closeTimer != nil {
		s.closeTimer.Stop()
	}
}

func (s *session) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// cut ends the network connection at once; the reader does the rest.
func (s *session) cut(cause string) {
	s.mu.Lock()
	if s.cutCause == "" {
		s.cutCause = cause
	}
	s.mu.Unlock()
	s.transport.cut()
}

// drain closes the session as soon as the result of every proposal in flight is
// queued.
func (s *session) drain() {
	s.mu.Lock()
	s.draining = true
	idle := s.unsent == 0
	s.mu.Unlock()
	if idle {
		s.closeGoingAway()
	}
}

func (s *session) closeGoingAway() {
	s.close(codes.CloseGoingAway, "the server is shutting down; reconnect")
}

// Reasons of the close frame of a caller that is not served any more.
const (
	reasonExpired = "the token has expired; renew it and reconnect"
	reasonRevoked = "the credentials were revoked; get new ones and reconnect"
)

// closeUnauthorized ends the session because its caller is not served any more.
// What is queued is dropped, so that no frame is begun after this; frames that are
// being written are completed, then the close frame is. Requests that wait, here or
// for their turn in the manager, are neither authorized nor evaluated. It does not
// block.
func (s *session) closeUnauthorized(reason string) {
	s.mu.Lock()
	s.unauthorized = true
	s.mu.Unlock()
	s.out.closeAtOnce(codes.CloseUnauthorized, reason)
	s.beginClosing()
	s.ctx.cancel()
	s.serving.cancel()
	s.endSubscriptions()
}

// isUnauthorized reports whether closeUnauthorized was called.
func (s *session) isUnauthorized() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unauthorized
}

// closeCause says how the connection ended. err is why reading ended, cutCause
// why the server cut the connection, if it did.
func (s *session) closeCause(err error, cutCause string) (code int, reason string) {
	if code, reason = s.out.closeFrame(); code != 0 {
		return code, reason
	}
	if code, reason = s.transport.closeFrame(err); code != 0 {
		return code, reason
	}
	switch {
	case cutCause != "":
		reason = cutCause
	case err == nil || errors.Is(err, io.EOF):
		reason = "the connection ended without a close frame"
	default:
		reason = shorten(err.Error())
	}
	return int(websocket.StatusAbnormalClosure), reason
}

package realtime

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// streamResponse is a response of net/http as the connection of an event stream, where
// other requests share the network connection, as with HTTP/2. Only Write and Close are
// called.
type streamResponse struct {
	net.Conn // nil
	http.ResponseWriter
	controller *http.ResponseController
	request    context.Context
	closed     chan struct{}
	closing    sync.Once
	isWriting  atomic.Bool
}

func newStreamResponse(w http.ResponseWriter, r *http.Request) *streamResponse {
	return &streamResponse{
		ResponseWriter: w, controller: http.NewResponseController(w), request: r.Context(), closed: make(chan struct{}),
	}
}

// Write implements net.Conn.
func (s *streamResponse) Write(p []byte) (int, error) {
	s.isWriting.Store(true)
	defer s.isWriting.Store(false)
	return s.ResponseWriter.Write(p)
}

func (s *streamResponse) flush() error { return s.controller.Flush() }

// wait returns when the client has gone, or Close was called.
func (s *streamResponse) wait() error {
	select {
	case <-s.request.Done():
		return context.Cause(s.request)
	case <-s.closed:
		return net.ErrClosed
	}
}

// Close implements net.Conn. It ends a Write that the client does not read; otherwise
// the response ends as usual, when the handler returns.
func (s *streamResponse) Close() error {
	s.closing.Do(func() { close(s.closed) })
	if !s.isWriting.Load() {
		return nil
	}
	return s.controller.SetWriteDeadline(time.Now())
}

package realtime

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// Limits that Serve gives to a web server which has none. The time-outs are for requests:
// net/http ends them for a connection that becomes a WebSocket, and an event stream has
// none either.
const (
	maxHeaderBytes    = 32 << 10
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = time.Minute
	idleTimeout       = 2 * time.Minute
)

// Serve has a web server, whose handler passes requests to s, serve a listener until ctx
// ends. Then it shuts down gracefully within Options.ShutdownTimeout: s first, because
// http.Server.Shutdown does not know upgraded connections, then the web server. It returns
// nil after that, an error for which errors.Is(err, context.DeadlineExceeded) holds if the
// time did not suffice and connections were cut, and the web server's error if that ended
// before. The listener is closed in any case. Close the manager and its store afterwards.
//
// Limits of the web server that are 0 become 32 KiB for headers, 10 s to read them, 30 s
// to read a request, a minute to write a response, and two minutes for an idle connection;
// a negative time-out is off. On Linux, a TCP listener on a loopback address is given the
// congestion control reno where it has BBR.
func (s *Server) Serve(ctx context.Context, listener net.Listener, web *http.Server) error {
	web.MaxHeaderBytes = cmp.Or(web.MaxHeaderBytes, maxHeaderBytes)
	web.ReadHeaderTimeout = cmp.Or(web.ReadHeaderTimeout, readHeaderTimeout)
	web.ReadTimeout = cmp.Or(web.ReadTimeout, readTimeout)
	web.WriteTimeout = cmp.Or(web.WriteTimeout, writeTimeout)
	web.IdleTimeout = cmp.Or(web.IdleTimeout, idleTimeout)
	stopPacing(listener)
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	select {
	case err := <-served:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	s.log.Info("shutting down")
	shutdown, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if timeout := s.options.ShutdownTimeout; timeout > 0 {
		shutdown, cancel = context.WithTimeout(shutdown, timeout)
	}
	defer cancel()
	err := errors.Join(s.Shutdown(shutdown), web.Shutdown(shutdown))
	if err != nil {
		web.Close() // its error says no more
	}
	<-served
	return err
}

package realtime

import (
	"net/http"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// WebSocketOptions configure Server.ServeWebSocket. Protocol, with its Encode, and Receive
// must be set.
type WebSocketOptions struct {
	Protocol *Protocol
	// Receive is given the messages of the client, in the order in which they arrive. Its
	// calls do not overlap, and nothing more is read before it returns. What it is given is
	// valid during the call. A panic in it costs the connection, and is logged.
	Receive func(session *Session, message ClientMessage)
	// Binary has the messages to the client sent as binary ones. Default: as text, so they
	// must be UTF-8.
	Binary bool
	// Subprotocols are those that the server speaks (RFC 6455 section 1.9), the preferred
	// one first. Default: none is negotiated.
	Subprotocols []string
	// Caller is who the client is, where the application has found that out itself; it
	// must not have expired or been revoked. Default: Options.Authenticate is asked.
	Caller *sharedata.Caller
}

// ClientMessage is a WebSocket message of a client, of Options.MaxMessageBytes at most.
type ClientMessage struct {
	Data   []byte
	Binary bool
	// RetryAfter is not 0 where there are more than Options.MessagesPerSecond: the message
	// must be refused then, to be sent again after that time. A client that goes on is
	// disconnected.
	RetryAfter time.Duration
}

// ServeWebSocket serves an application's own protocol over WebSocket. The server does all
// that it does for its own protocol: the handshake with its limits and the check of the
// origin, the bounded reading of messages, pings, and writing, in which messages that wait
// together cost one system call. It answers the request itself where there is no session,
// as ServeHTTP does. It returns after the upgrade; the session goes on without it.
//
// A message that is too large closes the connection, after a MessageError with
// codes.InvalidMessage.
func (s *Server) ServeWebSocket(w http.ResponseWriter, r *http.Request, options *WebSocketOptions) {
	if options == nil || options.Protocol == nil || options.Protocol.Encode == nil || options.Receive == nil {
		s.log.Error("ServeWebSocket: WebSocketOptions.Protocol, its Encode, and Receive must be set")
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	s.serveEndpoint(w, r, options.Caller, func(s *Server, w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted) bool {
		return s.upgrade(w, r, pending, counted, options)
	})
}

// subprotocols are those of the options, which may be nil.
func (o *WebSocketOptions) subprotocols() []string {
	if o == nil {
		return nil
	}
	return o.Subprotocols
}

// serveProtocol makes the connection one of an application's protocol, before it is read.
func (t *webSocket) serveProtocol(s *session, options *WebSocketOptions) {
	if options.Binary {
		t.message = finalBinary
	}
	session := s.openAs(options.Protocol, nil)
	t.receive = func(m ClientMessage) { options.Receive(session, m) }
}

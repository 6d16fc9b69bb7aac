package realtime

import (
	"net/http"
	"path"
	"strings"
)

// endpoint is what a request asks the server for. It serves the request of a caller
// who is authenticated and counted, and returns whether a session goes on after it,
// which then ends the count.
type endpoint func(s *Server, w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted) (goesOn bool)

// endpointOf returns the endpoint of a request. What is no other is a request for a
// WebSocket, which the handshake refuses with 426 where it is not.
func endpointOf(r *http.Request) endpoint {
	if isUpgrade(r) {
		return (*Server).serveWebSocket
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch name := path.Base(r.URL.Path); {
	case r.Method == http.MethodGet && accepts(r, eventStreamType):
		return (*Server).serveEventStream
	case name == "propose" && r.Method == http.MethodPost:
		return (*Server).servePropose
	case name == "state" && reads:
		return (*Server).serveState
	case name == "history" && reads:
		return (*Server).serveHistory
	}
	return (*Server).serveWebSocket
}

// isUpgrade reports whether a request asks for another protocol (RFC 9110, section 7.8).
func isUpgrade(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// accepts reports whether a request names the media type in its Accept header.
func accepts(r *http.Request, mediaType string) bool {
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) {
				return true
			}
		}
	}
	return false
}

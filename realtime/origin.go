package realtime

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/safe-go/safe/schemas/codes"
)

// allowOrigin decides about a request of a page, as the handshake of a WebSocket does:
// the page must be of the server's own host, or match Options.OriginPatterns. It then
// lets the page read the response (the CORS protocol of the Fetch standard, section
// 3.3). A request without an Origin is not made by a page of another host.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	header := r.Header.Get("Origin")
	if header == "" {
		return true
	}
	if !slices.Contains(w.Header().Values("Vary"), "Origin") {
		w.Header().Add("Vary", "Origin")
	}
	if !s.options.isAllowed(header, r.Host) {
		s.log.Warn("origin refused; if its pages may connect, add it to realtime.Options.OriginPatterns",
			"origin", shorten(header), "host", shorten(r.Host), "remote", r.RemoteAddr)
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", header)
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	w.Header().Set("Access-Control-Expose-Headers", "ETag, Retry-After, "+nextCursorHeader)
	return true
}

func (o *Options) isAllowed(header, host string) bool {
	origin, err := url.Parse(header)
	if err != nil || origin.Host == "" {
		return false
	}
	if strings.EqualFold(origin.Host, host) {
		return true
	}
	for _, pattern := range o.OriginPatterns {
		target := origin.Host
		if strings.Contains(pattern, "://") {
			target = origin.Scheme + "://" + origin.Host
		}
		if matches, err := path.Match(strings.ToLower(pattern), strings.ToLower(target)); err == nil && matches {
			return true
		}
	}
	return false
}

// AllowOrigins returns a handler that serves other endpoints of the service to the same
// pages as the server itself: it replies to preflight requests and with 403 to pages of
// origins that are neither the server's own nor in Options.OriginPatterns, and hands all
// other requests to next.
func (s *Server) AllowOrigins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case isPreflight(r):
			s.servePreflight(w, r)
		case !s.allowOrigin(w, r):
			rejectOrigin(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func rejectOrigin(w http.ResponseWriter, r *http.Request) {
	reject(w, r, newProblem(http.StatusForbidden, codes.Unauthorized, "pages of this origin may not connect"))
}

// isPreflight reports whether a browser asks what a page may request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

func (s *Server) servePreflight(w http.ResponseWriter, r *http.Request) {
	if !s.allowOrigin(w, r) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID, If-None-Match")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

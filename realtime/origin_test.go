package realtime_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// Endpoints of the application are for the pages that may use the server.
func TestAllowOrigins(t *testing.T) {
	ts := newTestServer(t, sharedata.Options{}, &realtime.Options{OriginPatterns: []string{"https://app.example"}})
	handler := ts.server.AllowOrigins(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) }))
	for _, c := range []struct {
		method, origin string
		status         int
		allowed        string
	}{
		{"GET", "", 299, ""},
		{"OPTIONS", "", 299, ""},
		{"POST", "https://app.example", 299, "https://app.example"},
		{"POST", "https://example.com", 299, "https://example.com"}, // the service's own
		{"POST", "https://evil.example", 403, ""},
		{"OPTIONS", "https://app.example", 204, "https://app.example"},
		{"OPTIONS", "https://evil.example", 403, ""},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != c.status || got != c.allowed {
			t.Errorf("%s from %q: %d, allowed is %q; want %d, %q", c.method, c.origin, w.Code, got, c.status, c.allowed)
		}
	}
}

package js_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/safe-go/safe/client/js"
)

func request(method, etag string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/safe.js", nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	js.Handler().ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	want, err := os.ReadFile("safe.js")
	if err != nil {
		t.Fatal(err)
	}
	first := request("GET", "")
	if first.Code != http.StatusOK || first.Body.String() != string(want) {
		t.Errorf("GET: status %d and %d bytes, want 200 and the %d bytes of safe.js", first.Code, first.Body.Len(), len(want))
	}
	for name, want := range map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
	} {
		if got := first.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	etag := first.Header().Get("ETag")
	for _, test := range []struct {
		method, etag string
		status       int
	}{
		{"GET", etag, http.StatusNotModified},
		{"GET", `"another"`, http.StatusOK},
		{"HEAD", "", http.StatusOK},
		{"POST", "", http.StatusMethodNotAllowed},
	} {
		if got := request(test.method, test.etag); got.Code != test.status {
			t.Errorf("%s with If-None-Match %s: status %d, want %d", test.method, test.etag, got.Code, test.status)
		}
	}
}

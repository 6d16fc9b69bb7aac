package realtime_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestAuthenticate_Refuses(t *testing.T) {
	for _, test := range []struct {
		name string
		hook func(*http.Request) (*sharedata.Caller, error)
	}{
		{"error", func(*http.Request) (*sharedata.Caller, error) { return &sharedata.Caller{}, errors.New(secret) }},
		{"nobody", func(*http.Request) (*sharedata.Caller, error) { return nil, nil }},
		{"panic", func(*http.Request) (*sharedata.Caller, error) { panic(secret) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			ts := serve(t, &realtime.Options{Authenticate: test.hook})
			_, response, err := ts.tryDial(nil)
			if err == nil {
				t.Fatal("upgraded")
			}
			if response.StatusCode != http.StatusUnauthorized || response.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("status %s, WWW-Authenticate %q", response.Status, response.Header.Get("WWW-Authenticate"))
			}
			var body strings.Builder
			response.Write(&body)
			if strings.Contains(body.String(), secret) {
				t.Errorf("the response has a secret: %s", body.String())
			}
		})
	}
}

// A client does not try again with credentials that were answered with 401.
func TestAuthenticate_Unavailable(t *testing.T) {
	ts := serve(t, &realtime.Options{Authenticate: func(*http.Request) (*sharedata.Caller, error) {
		return nil, fmt.Errorf("%s: %w", secret, realtime.ErrUnavailable)
	}})
	_, response, err := ts.tryDial(nil)
	if err == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Fatalf("%v, %+v", err, response)
	}
	var body strings.Builder
	response.Write(&body)
	if strings.Contains(body.String(), secret) {
		t.Errorf("the response has a secret: %s", body.String())
	}
}

// A refused origin used to be logged at Debug only. Pages can connect at any
// rate, so the log has one line a second.
func TestOrigin(t *testing.T) {
	var log strings.Builder
	ts := serve(t, &realtime.Options{
		OriginPatterns: []string{"*.example.com"},
		Logger:         slog.New(slog.NewTextHandler(&log, nil)),
	})
	for _, test := range []struct {
		origin string
		want   int
	}{
		{"https://app.example.com", http.StatusSwitchingProtocols},
		{"https://example.org", http.StatusForbidden},
		{"https://example.net", http.StatusForbidden},
		{"", http.StatusSwitchingProtocols},
		{ts.url, http.StatusSwitchingProtocols}, // the server's own
	} {
		header := http.Header{}
		if test.origin != "" {
			header.Set("Origin", test.origin)
		}
		if _, response, _ := ts.tryDial(header); response.StatusCode != test.want {
			t.Errorf("origin %q: status %s, want %d", test.origin, response.Status, test.want)
		}
	}
	ts.server.Close()
	got := log.String()
	host := strings.TrimPrefix(ts.url, "http://")
	if n := strings.Count(got, "level=WARN"); n != 1 {
		t.Errorf("%d lines, want 1:\n%s", n, got)
	}
	for _, text := range []string{"origin=https://example.org", "host=" + host, "realtime.Options.OriginPatterns"} {
		if !strings.Contains(got, text) {
			t.Errorf("the log does not say %q:\n%s", text, got)
		}
	}
}

func TestPlainRequest(t *testing.T) {
	ts := serve(t, nil)
	response, err := ts.client.Get(ts.url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("status %s", response.Status)
	}
}

// wrapping is the ResponseWriter of middleware that can only be unwrapped.
type wrapping struct{ inner http.ResponseWriter }

func (w wrapping) Header() http.Header { return w.inner.Header() }

func (w wrapping) Write(p []byte) (int, error) { return w.inner.Write(p) }

func (w wrapping) WriteHeader(status int) { w.inner.WriteHeader(status) }

func (w wrapping) Unwrap() http.ResponseWriter { return w.inner }

func TestMiddleware(t *testing.T) {
	ts := newTestServer(t, sharedata.Options{}, nil)
	ts.create("c")
	mux := http.NewServeMux()
	mux.Handle("/deep/down", ts.server)
	h := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(wrapping{wrapping{rw}}, r)
	}))
	t.Cleanup(h.Close)
	ts.url, ts.client = h.URL+"/deep/down", h.Client()
	p := ts.dial()
	p.join("c", "")
	p.wantPong("1")
}

func TestTLS(t *testing.T) {
	ts := newTestServer(t, sharedata.Options{}, nil)
	ts.create("c")
	h := httptest.NewTLSServer(ts.server)
	t.Cleanup(h.Close)
	ts.url, ts.client = h.URL, h.Client()
	p := ts.dial()
	p.join("c", "")
	ts.add("c", 50)
	p.wantTransactions(2, 51)
	go ts.server.Shutdown(t.Context())
	p.wantClose(codes.CloseGoingAway)
}

func TestUpgradeImpossible(t *testing.T) {
	ts := newTestServer(t, sharedata.Options{}, nil)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	response := httptest.NewRecorder()
	ts.server.ServeHTTP(response, r)
	if response.Code != http.StatusNotImplemented {
		t.Errorf("status %d", response.Code)
	}
}

func TestSubprotocols(t *testing.T) {
	ts := serve(t, nil)
	_, response, err := ts.tryDial(http.Header{
		"Sec-Websocket-Protocol":   {"a, b"},
		"Sec-Websocket-Extensions": {"permessage-deflate"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
		if got := response.Header.Get(name); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

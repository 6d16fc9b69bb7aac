package realtime_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func authenticateAs(caller *sharedata.Caller) func(*http.Request) (*sharedata.Caller, error) {
	return func(*http.Request) (*sharedata.Caller, error) { return caller, nil }
}

func TestFailedAuthenticationNeverUpgrades(t *testing.T) {
	for _, test := range []struct {
		name string
		hook func(*http.Request) (*sharedata.Caller, error)
	}{
		{"error", func(*http.Request) (*sharedata.Caller, error) { return &sharedata.Caller{}, errors.New(secret) }},
		{"nobody", func(*http.Request) (*sharedata.Caller, error) { return nil, nil }},
		{"panic", func(*http.Request) (*sharedata.Caller, error) { panic(secret) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := overSockets(t, &realtime.Options{Authenticate: test.hook})
			_, response, err := w.tryDial(nil)
			if err == nil {
				t.Fatal("upgraded")
			}
			if response.StatusCode != http.StatusUnauthorized || response.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("status %s, WWW-Authenticate %q", response.Status, response.Header.Get("WWW-Authenticate"))
			}
			var body strings.Builder
			response.Write(&body)
			if strings.Contains(body.String(), secret) {
				t.Errorf("the answer tells a secret: %s", body.String())
			}
		})
	}
}

func TestOriginsOfOtherHostsAreRefusedUnlessListed(t *testing.T) {
	w := overSockets(t, &realtime.Options{OriginPatterns: []string{"*.example.com"}})
	for origin, want := range map[string]int{
		"https://app.example.com": http.StatusSwitchingProtocols,
		"https://example.org":     http.StatusForbidden,
		"":                        http.StatusSwitchingProtocols,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if _, response, _ := w.tryDial(header); response.StatusCode != want {
			t.Errorf("origin %q: status %s, want %d", origin, response.Status, want)
		}
	}
}

func TestPlainRequestIsToldToUpgrade(t *testing.T) {
	w := overSockets(t, nil)
	response, err := w.client.Get(w.url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("status %s", response.Status)
	}
}

// wrapping is middleware whose ResponseWriter can only be unwrapped.
type wrapping struct{ inner http.ResponseWriter }

func (w wrapping) Header() http.Header         { return w.inner.Header() }
func (w wrapping) Write(p []byte) (int, error) { return w.inner.Write(p) }
func (w wrapping) WriteHeader(status int)      { w.inner.WriteHeader(status) }
func (w wrapping) Unwrap() http.ResponseWriter { return w.inner }

func TestServesBehindMiddlewareThatUnwraps(t *testing.T) {
	w := newWorld(t, nil, nil)
	w.create("c")
	mux := http.NewServeMux()
	mux.Handle("/deep/down", w.server)
	h := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(wrapping{wrapping{rw}}, r)
	}))
	t.Cleanup(h.Close)
	w.url, w.client = h.URL+"/deep/down", h.Client()
	p := w.dial()
	p.join("c", "")
	p.wantPong("1")
}

func TestServesOverTLS(t *testing.T) {
	w := newWorld(t, nil, nil)
	w.create("c")
	h := httptest.NewTLSServer(w.server)
	t.Cleanup(h.Close)
	w.url, w.client = h.URL, h.Client()
	p := w.dial()
	p.join("c", "")
	w.add("c", 50)
	p.wantTransactions(2, 51)
	go w.server.Shutdown(t.Context())
	p.wantClose(codes.CloseGoingAway)
}

func TestConnectionThatCannotBeTakenOverIsAnswered501(t *testing.T) {
	w := newWorld(t, nil, nil)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	answer := httptest.NewRecorder()
	w.server.ServeHTTP(answer, r)
	if answer.Code != http.StatusNotImplemented {
		t.Errorf("status %d", answer.Code)
	}
}

func TestRefusedSubscribeLeavesTheConnectionOpen(t *testing.T) {
	w := overSockets(t, &realtime.Options{
		AuthorizeSubscribe: func(_ context.Context, _ *sharedata.Caller, id string) error {
			switch id {
			case "open":
				return nil
			case "panics":
				panic(secret)
			}
			return errors.New(secret)
		},
	})
	w.create("open")
	w.create("panics")
	w.create("closed")
	p := w.dial()
	for _, id := range []string{"closed", "panics", "is not there"} {
		p.subscribe(id, "")
		if e := p.wantError(codes.UnauthorizedSubscribe, id); strings.Contains(e.Message, secret) {
			t.Errorf("the answer tells a secret: %s", e.Message)
		}
	}
	w.add("closed", 1)
	p.join("open", "")
	p.wantPong("nothing else came")
}

func TestRefusedResubscribeEndsTheSubscription(t *testing.T) {
	allowed := true
	w := overSockets(t, &realtime.Options{
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error {
			if !allowed {
				return errors.New("no longer")
			}
			return nil
		},
	})
	w.create("c")
	p := w.dial()
	p.join("c", "")
	allowed = false
	p.subscribe("c", "")
	p.wantError(codes.UnauthorizedSubscribe, "c")
	w.add("c", 1)
	p.wantPong("nothing came")
}

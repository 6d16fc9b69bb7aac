package realtime_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// byUser authenticates by the header X-User.
func byUser(r *http.Request) (*sharedata.Caller, error) {
	switch user := r.Header.Get("X-User"); user {
	case "refused":
		return nil, errors.New("no")
	case "panic":
		panic("no")
	default:
		return &sharedata.Caller{Issuer: r.Header.Get("X-Issuer"), Subject: user}, nil
	}
}

func user(name, address string) http.Header {
	header := http.Header{"X-User": {name}}
	if address != "" {
		header.Set("X-Forwarded-For", address)
	}
	return header
}

func TestMaxConnections(t *testing.T) {
	var r recorder
	ts := serve(t, &realtime.Options{
		Authenticate: byUser, Observer: r.observer(),
		MaxConnections: 5, MaxConnectionsPerSubject: 2, MaxConnectionsPerAddress: 3,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	})
	var open []*websocket.Conn
	dial := func(header http.Header, status int) {
		t.Helper()
		conn, response, err := ts.tryDial(header)
		if response == nil || response.StatusCode != status {
			t.Fatalf("%v: %v, %v; want %d", header, response, err, status)
		}
		if conn != nil {
			open = append(open, conn)
		} else if retry := response.Header.Get("Retry-After"); (retry != "") != (status == 429 || status == 503) {
			t.Errorf("%d with Retry-After %q", status, retry)
		}
	}
	const upgraded = http.StatusSwitchingProtocols
	dial(user("ann", "192.0.2.1"), upgraded)
	dial(user("ann", "192.0.2.2"), upgraded)
	dial(user("ann", "192.0.2.3"), http.StatusTooManyRequests)
	dial(user("bob", "192.0.2.1"), upgraded)
	dial(user("", "192.0.2.1"), upgraded)
	dial(user("refused", "192.0.2.1"), http.StatusTooManyRequests) // before it is authenticated
	dial(user("bob", ""), upgraded)                                // the loopback
	dial(user("eve", ""), http.StatusServiceUnavailable)
	for _, conn := range open {
		conn.CloseNow()
	}
	addresses := make(map[string]int)
	for range open {
		host, _, _ := strings.Cut((<-r.closed).RemoteAddr, ":")
		addresses[host]++
	}
	if got, want := fmt.Sprint(addresses), "map[127.0.0.1:1 192.0.2.1:3 192.0.2.2:1]"; got != want {
		t.Errorf("remote addresses %s, want %s", got, want)
	}
	ts.server.Close()
	if total, addresses, subjects := ts.server.Counted(); total+addresses+subjects != 0 {
		t.Errorf("still counted: %d connections, %d addresses, %d subjects", total, addresses, subjects)
	}
}

// Whatever becomes of a request, it is not counted afterwards.
func TestMaxConnections_RefusedNotCounted(t *testing.T) {
	ts := newTestServer(t, sharedata.Options{}, &realtime.Options{
		Authenticate: byUser, MaxConnectionsPerSubject: 1,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	})
	upgrading := func(name string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = user(name, "198.51.100.1")
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
		return r
	}
	foreign := upgrading("ann")
	foreign.Header.Set("Origin", "https://example.org")
	plain := upgrading("ann")
	plain.Header.Del("Upgrade")
	for _, test := range []struct {
		name   string
		w      http.ResponseWriter
		r      *http.Request
		status int
	}{
		{"refused", httptest.NewRecorder(), upgrading("refused"), http.StatusUnauthorized},
		{"panic", httptest.NewRecorder(), upgrading("panic"), http.StatusUnauthorized},
		{"cannot be upgraded", httptest.NewRecorder(), upgrading("ann"), http.StatusNotImplemented},
		{"no upgrade", brokenHijacker{httptest.NewRecorder()}, plain, http.StatusUpgradeRequired},
		{"foreign origin", brokenHijacker{httptest.NewRecorder()}, foreign, http.StatusForbidden},
		{"hijacking fails", brokenHijacker{httptest.NewRecorder()}, upgrading("ann"), http.StatusSwitchingProtocols},
	} {
		t.Run(test.name, func(t *testing.T) {
			ts.server.ServeHTTP(test.w, test.r)
			recorder, ok := test.w.(*httptest.ResponseRecorder)
			if !ok {
				recorder = test.w.(brokenHijacker).ResponseRecorder
			}
			if recorder.Code != test.status {
				t.Errorf("status %d, want %d", recorder.Code, test.status)
			}
			if total, addresses, subjects := ts.server.Counted(); total+addresses+subjects != 0 {
				t.Errorf("still counted: %d connections, %d addresses, %d subjects", total, addresses, subjects)
			}
		})
	}
}

type brokenHijacker struct{ *httptest.ResponseRecorder }

func (brokenHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("the connection is gone")
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{
			HandshakeTimeout: 5 * time.Second,
			Authenticate: func(r *http.Request) (*sharedata.Caller, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			},
		})
		began := time.Now()
		_, response, _ := ts.tryDial(nil)
		if response == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			t.Errorf("got %v", response)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A peer that does not read the response to its handshake does not hold the
// handshake up for ever.
func TestHandshakeTimeout_ResponseUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, nil)
		conn := ts.dialNetwork()
		conn.Write([]byte(handshake))
		time.Sleep(11 * time.Second)
		if total, _, _ := ts.server.Counted(); total != 0 {
			t.Errorf("%d connections are counted", total)
		}
	})
}

package realtime_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func (ts *testServer) revoke(r realtime.Revocation) {
	ts.Helper()
	ctx := sharedata.WithCaller(ts.Context(), &sharedata.Caller{Subject: "admin"})
	if err := ts.server.Revoke(ctx, r); err != nil {
		ts.Fatal(err)
	}
}

func TestRevoke_Subject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("old", "ada", 0)
		tokens.issue("bob's", "bob", 0)
		ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, Heartbeat: -1})
		ts.create("c")
		ada, bob := ts.dialToken("old"), ts.dialToken("bob's")
		ada.join("c", "")
		bob.join("c", "")
		ts.add("c", 1) // is being written when the rest is queued
		synctest.Wait()
		ts.add("c", 9)
		ts.revoke(realtime.Revocation{Subject: "ada"})
		ts.add("c", 1)
		if n, _ := ada.readUntilClose(codes.CloseUnauthorized); n != 1 {
			t.Errorf("sent %d transactions, want the one that was being written", n)
		}
		bob.wantTransactions(2, 12)
		ts.wantStatus("old", http.StatusUnauthorized)
		time.Sleep(time.Second)
		tokens.issue("new", "ada", 0)
		ts.dialToken("new").join("c", "")
		ts.wantStatus("old", http.StatusUnauthorized)
		time.Sleep(25 * time.Hour) // the retention is over, which the next revocation notices
		ts.revoke(realtime.Revocation{Subject: "nobody"})
		ts.dialToken("old").join("c", "")
	})
}

func TestRevoke_Fields(t *testing.T) {
	for _, test := range []struct {
		name    string
		r       realtime.Revocation
		matches bool
	}{
		{"the token", realtime.Revocation{TokenID: "t"}, true},
		{"another token", realtime.Revocation{TokenID: "u"}, false},
		{"the token of the subject", realtime.Revocation{TokenID: "t", Subject: "ada"}, true},
		{"the token of another subject", realtime.Revocation{TokenID: "t", Subject: "bob"}, false},
		{"the issuer", realtime.Revocation{Issuer: "tests"}, true},
		{"another issuer's subject", realtime.Revocation{Issuer: "others", Subject: "ada"}, false},
		{"all", realtime.Revocation{Issuer: "tests", Subject: "ada", TokenID: "t"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tokens callers
			tokens.issue("t", "ada", 0)
			ts := serve(t, &realtime.Options{Authenticate: tokens.authenticate})
			p := ts.dialToken("t")
			p.wantPong("open")
			ts.revoke(test.r)
			if test.matches {
				p.wantClose(codes.CloseUnauthorized)
				ts.wantStatus("t", http.StatusUnauthorized)
			} else {
				p.wantPong("still open")
				ts.dialToken("t").wantPong("open too")
			}
		})
	}
}

func TestRevoke_Invalid(t *testing.T) {
	ts := serve(t, nil)
	for _, r := range []realtime.Revocation{{}, {Subject: "\xff"}, {TokenID: strings.Repeat("x", realtime.MaxRevocationBytes+1)}} {
		if err := ts.server.Revoke(t.Context(), r); !errors.Is(err, realtime.ErrInvalidRevocation) {
			t.Errorf("%.20v: %v", r, err)
		}
	}
}

// A revocation is in the history, with its caller.
func TestRevoke_Audited(t *testing.T) {
	ts := serve(t, nil)
	ts.revoke(realtime.Revocation{Subject: "ada"})
	var last sharedata.Entry
	at := ts.cursor(realtime.RevocationsID)
	at.Revision = 1
	for entry, err := range ts.manager.History(t.Context(), realtime.RevocationsID, at) {
		if err != nil {
			t.Fatal(err)
		}
		last = entry
	}
	if last.Caller == nil || last.Caller.Subject != "admin" || last.FunctionID != "revoke" || !strings.Contains(string(last.Data), `"ada"`) {
		t.Errorf("recorded %+v", last)
	}
}

// Every server on a manager applies a revocation, also the first one.
func TestRevoke_ServersOfOneManager(t *testing.T) {
	var tokens callers
	tokens.issue("t", "ada", 0)
	options := &realtime.Options{Authenticate: tokens.authenticate}
	ts := serve(t, options)
	p := ts.dialToken("t")
	p.wantPong("open")
	other, err := realtime.NewServer(ts.manager, options)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Revoke(t.Context(), realtime.Revocation{Subject: "ada"}); err != nil {
		t.Fatal(err)
	}
	p.wantClose(codes.CloseUnauthorized)
	ts.wantStatus("t", http.StatusUnauthorized)
}

func TestRevoke_AfterRestart(t *testing.T) {
	var tokens callers
	tokens.issue("t", "ada", 0)
	path := filepath.Join(t.TempDir(), "store")
	for start := range 2 {
		store, err := bolt.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		ts := newTestServer(t, sharedata.Options{Store: store}, &realtime.Options{Authenticate: tokens.authenticate})
		ts.listen()
		if start == 0 {
			ts.dialToken("t").wantPong("open")
			ts.revoke(realtime.Revocation{Subject: "ada"})
		} else {
			ts.wantStatus("t", http.StatusUnauthorized)
		}
		ts.server.Close()
		ts.manager.Close()
		store.Close()
	}
}

// A connection that is being opened during the call is missed by neither Revoke
// nor Disconnect.
func TestRevoke_DuringAuthenticate(t *testing.T) {
	for _, end := range []struct {
		name   string
		call   func(ts *testServer)
		status int
	}{
		{"revoke", func(ts *testServer) { ts.revoke(realtime.Revocation{Subject: "ada"}) }, http.StatusUnauthorized},
		{"disconnect", func(ts *testServer) {
			ts.server.Disconnect(realtime.BySubject("ada"), realtime.CloseFrame{})
		}, http.StatusUnauthorized},
	} {
		t.Run(end.name, func(t *testing.T) {
			var ts *testServer
			calls := 0
			ts = serve(t, &realtime.Options{Authenticate: func(*http.Request) (*sharedata.Caller, error) {
				if calls++; calls > 1 {
					return nil, errors.New("kept out by now")
				}
				end.call(ts)
				return &sharedata.Caller{Subject: "ada"}, nil
			}})
			ts.wantStatus("t", end.status)
		})
	}
}

// A connection that was authenticated and is not open yet ends when it is.
func TestRevoke_DuringUpgrade(t *testing.T) {
	for name, end := range map[string]func(ts *testServer){
		"revoke": func(ts *testServer) { ts.revoke(realtime.Revocation{Subject: "ada"}) },
		"disconnect": func(ts *testServer) {
			if n, err := ts.server.Disconnect(realtime.BySubject("ada"), realtime.CloseFrame{}); n != 1 || err != nil {
				t.Errorf("%d connections disconnected: %v", n, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var tokens callers
			tokens.issue("t", "ada", 0)
			ts := newTestServer(t, sharedata.Options{}, &realtime.Options{Authenticate: tokens.authenticate})
			ts.listenOnPipes(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ts.server.ServeHTTP(&slowHijacker{ResponseWriter: w, before: func() { end(ts) }}, r)
			}))
			ts.dialToken("t").wantClose(codes.CloseUnauthorized)
		})
	}
}

// slowHijacker calls before when the connection is taken over.
type slowHijacker struct {
	http.ResponseWriter
	before func()
}

func (h *slowHijacker) Unwrap() http.ResponseWriter {
	h.before()
	h.before = func() {}
	return h.ResponseWriter
}

// The clock of the issuer is ahead, so that the token seems to be newer than its
// revocation.
func TestRevoke_IssuerAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := &sharedata.Caller{Subject: "ada", IssuedAt: time.Now().Add(3 * time.Second)}
		ts := servePipes(t, &realtime.Options{Authenticate: func(*http.Request) (*sharedata.Caller, error) { return caller, nil }})
		p := ts.dialToken("t")
		p.wantPong("open")
		ts.revoke(realtime.Revocation{Subject: "ada"})
		p.wantClose(codes.CloseUnauthorized)
	})
}

// Authenticate refuses for other handlers what is refused for connections.
func TestServer_Authenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := &sharedata.Caller{Subject: "ada", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
		ts := servePipes(t, &realtime.Options{Authenticate: func(*http.Request) (*sharedata.Caller, error) { return caller, nil }})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if got, err := ts.server.Authenticate(r); err != nil || got != caller {
			t.Errorf("%+v, %v", got, err)
		}
		ts.revoke(realtime.Revocation{Subject: "ada"})
		if got, err := ts.server.Authenticate(r); got != nil || !errors.Is(err, realtime.ErrExpired) {
			t.Errorf("after the revocation: %+v, %v", got, err)
		}
		caller = &sharedata.Caller{Subject: "bob", ExpiresAt: time.Now()}
		if got, err := ts.server.Authenticate(r); got != nil || !errors.Is(err, realtime.ErrExpired) {
			t.Errorf("after the expiry: %+v, %v", got, err)
		}
	})
}

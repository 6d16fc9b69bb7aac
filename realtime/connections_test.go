package realtime_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// serveSubjects serves callers who name their subject in a header.
func serveSubjects(t *testing.T, r *recorder) *testServer {
	ts := serve(t, &realtime.Options{
		Observer: r.observer(),
		Authenticate: func(r *http.Request) (*sharedata.Caller, error) {
			return &sharedata.Caller{Subject: r.Header.Get("Subject")}, nil
		},
	})
	ts.create("c")
	ts.create("d")
	return ts
}

func (ts *testServer) dialAs(subject string) *peer {
	ts.Helper()
	conn, _, err := ts.tryDial(http.Header{"Subject": {subject}})
	if err != nil {
		ts.Fatal(err)
	}
	return &peer{T: ts.T, conn: conn}
}

func TestConnections(t *testing.T) {
	var r recorder
	ts := serveSubjects(t, &r)
	if list := ts.server.Connections(); len(list) != 0 {
		t.Errorf("before the first: %+v", list)
	}
	ada := ts.dialAs("ada")
	ada.join("c", "")
	ada.join("d", "")
	ts.dialAs("bob").wantPong("open")
	list := ts.server.Connections()
	if len(list) != 2 {
		t.Fatalf("got %+v", list)
	}
	for i, want := range []struct {
		subject       string
		subscriptions int
	}{{"ada", 2}, {"bob", 0}} {
		c := list[i]
		if c.ID != uint64(i+1) || c.Caller.Subject != want.subject || c.Subscriptions != want.subscriptions ||
			!strings.HasPrefix(c.RemoteAddr, "127.0.0.1:") || time.Since(c.OpenedAt) > testTimeout || time.Since(c.OpenedAt) < 0 {
			t.Errorf("connection %d: %+v", i+1, c)
		}
	}
	ada.conn.CloseNow()
	r.wantClosed(t, 1006)
	if _, err := ts.server.Disconnect(realtime.BySubject("ada"), realtime.CloseFrame{}); err != nil {
		t.Error(err)
	}
}

func TestDisconnect(t *testing.T) {
	var r recorder
	ts := serveSubjects(t, &r)
	var peers []*peer
	for _, subject := range []string{"ada", "ada", "bob"} {
		p := ts.dialAs(subject)
		p.join("c", "") // it has its ID now
		peers = append(peers, p)
	}
	first, second, other := peers[0], peers[1], peers[2]
	disconnect := func(want int, match func(realtime.Connection) bool, with realtime.CloseFrame) {
		t.Helper()
		if n, err := ts.server.Disconnect(match, with); n != want || err != nil {
			t.Errorf("%d closed, want %d; %v", n, want, err)
		}
	}
	disconnect(0, realtime.ByID(99), realtime.CloseFrame{})
	disconnect(0, realtime.BySubject("eve"), realtime.CloseFrame{})
	disconnect(1, realtime.ByID(2), realtime.CloseFrame{Code: 4321, Reason: "moved"})
	disconnect(1, realtime.BySubject("ada"), realtime.CloseFrame{}) // the other one is closing already
	ts.add("c", 1)
	second.wantClose(4321)
	if c := r.wantClosed(t, 4321); c.ID != 2 || c.Reason != "moved" {
		t.Errorf("got %+v", c)
	}
	first.wantClose(codes.CloseUnauthorized)
	r.wantClosed(t, codes.CloseUnauthorized)
	other.wantTransactions(2, 2)
	disconnect(1, func(realtime.Connection) bool { return true }, realtime.CloseFrame{Code: codes.CloseNormal})
	other.wantClose(codes.CloseNormal)
}

func TestDisconnect_InvalidFrame(t *testing.T) {
	var r recorder
	ts := serveSubjects(t, &r)
	p := ts.dialAs("ada")
	for _, with := range []realtime.CloseFrame{
		{Code: -1}, {Code: 999}, {Code: 1002}, {Code: 1005}, {Code: 1006}, {Code: 3999}, {Code: 5000},
		{Reason: strings.Repeat("x", realtime.MaxCloseReasonBytes+1)}, {Reason: "\xff"},
	} {
		if n, err := ts.server.Disconnect(realtime.BySubject("ada"), with); n != 0 || !errors.Is(err, realtime.ErrInvalidClose) {
			t.Errorf("%+v: %d closed, %v", with, n, err)
		}
	}
	p.wantPong("still open")
	reason := strings.Repeat("x", realtime.MaxCloseReasonBytes)
	if n, err := ts.server.Disconnect(realtime.BySubject("ada"), realtime.CloseFrame{Code: 4999, Reason: reason}); n != 1 || err != nil {
		t.Errorf("%d closed, %v", n, err)
	}
	p.wantClose(4999)
	if c := r.wantClosed(t, 4999); c.Reason != reason {
		t.Errorf("reason %q", c.Reason)
	}
}

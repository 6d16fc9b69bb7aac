package realtime_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// changes is a protocol of server-sent events that have the state as their data.
var changes = &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte {
	switch m.Type {
	case realtime.MessageState:
		return fmt.Appendf(dst, "event: whole\nid: %s\ndata: %s resumed=%v replaying=%d\n\n", m.Cursor, m.State, m.Resumed, m.Replaying)
	case realtime.MessageTransaction:
		if string(m.Entry.Data) == `{"by":13}` {
			panic("a bug of the application")
		}
		return fmt.Appendf(dst, "event: change\nid: %s\ndata: %s\n\n", m.Cursor, m.Entry.Data)
	case realtime.MessageError:
		return fmt.Appendf(dst, "event: problem\ndata: %s\n\n", m.Code)
	}
	return dst
}}

// changesServer serves the protocol; the query names the ShareData and the caller.
func changesServer(t *testing.T, options *realtime.Options, http2 bool) *testServer {
	ts := newTestServer(t, sharedata.Options{}, options)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Application", "yes")
		var to []realtime.Subscription
		for _, id := range r.URL.Query()["id"] {
			to = append(to, realtime.Subscription{ShareDataID: id, Since: realtime.LastEventID(r)})
		}
		caller := &sharedata.Caller{Subject: r.URL.Query().Get("as")}
		ts.server.ServeEventStream(w, r, &realtime.SessionOptions{Protocol: changes, Caller: caller}, to...)
	}))
	h.EnableHTTP2 = http2
	h.StartTLS()
	t.Cleanup(h.Close)
	t.Cleanup(func() { ts.server.Close() })
	ts.url, ts.client = h.URL, h.Client()
	return ts
}

// changes requests a stream of the protocol of changes.
func (ts *testServer) changes(query, lastID string) *eventReader {
	ts.Helper()
	ctx, cancel := context.WithCancel(ts.Context())
	ts.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", ts.url+"/?"+query, nil)
	if err != nil {
		ts.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", lastID)
	response, err := ts.client.Do(r)
	if err != nil {
		ts.Fatal(err)
	}
	ts.Cleanup(func() { response.Body.Close() })
	return &eventReader{T: ts.T, body: bufio.NewReader(response.Body), response: response}
}

// wantData reads an event and compares its name and data.
func (r *eventReader) wantData(want string) {
	r.Helper()
	if e := r.next(); e.name+" "+e.data != want {
		r.Fatalf("got %v, want %s", e, want)
	}
}

// The events are those of the application, over HTTP/1.1 and HTTP/2, and a client that
// comes back goes on where it was or is notified.
func TestServeEventStream(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("http2=", http2), func(t *testing.T) {
			ts := changesServer(t, nil, http2)
			ts.create("c")
			r := ts.changes("id=c", "")
			if (r.response.ProtoMajor == 2) != http2 || r.response.Header.Get("X-Application") != "yes" {
				t.Fatalf("got %s, %v", r.response.Proto, r.response.Header)
			}
			r.wantData(`whole {"value":0} resumed=false replaying=0`)
			ts.add("c", 1)
			r.wantData(`change {"by":1}`)
			last := r.lastID
			r.response.Body.Close()
			ts.add("c", 2)

			r = ts.changes("id=c", last)
			r.wantData(`whole {"value":3} resumed=true replaying=2`)
			r.wantData(`change {"by":1}`)
			r.wantData(`change {"by":1}`)
			last = r.lastID
			r.response.Body.Close()

			r = ts.changes("id=c", last)
			r.wantData(`whole {"value":3} resumed=true replaying=0`)
			r.response.Body.Close()
			r = ts.changes("id=c", "7-7")
			r.wantData(`whole {"value":3} resumed=false replaying=0`)
			r.wantData(`problem replay-cursor-not-found`)
			if err := ts.manager.Remove(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			if e := r.next(); e != (streamEvent{}) {
				t.Errorf("got %v after the removal", e)
			}
		})
	}
}

// The hooks and limits are those of all connections, and so are the responses to requests
// that cannot be served.
func TestServeEventStream_Refused(t *testing.T) {
	ts := changesServer(t, &realtime.Options{
		MaxConnectionsPerSubject: 1,
		AuthorizeSubscribe: func(_ context.Context, caller *sharedata.Caller, id string) error {
			if id == "secret" {
				return &realtime.Refusal{Message: "not for " + caller.Subject}
			}
			return nil
		},
	}, false)
	ts.create("c")
	for query, want := range map[string]int{"id=x": 404, "id=secret": 403, "": 500} {
		if r := ts.changes(query, ""); r.response.StatusCode != want {
			t.Errorf("%q: got %s", query, r.response.Status)
		}
	}
	for _, method := range []string{"HEAD", "POST"} {
		r, _ := http.NewRequestWithContext(t.Context(), method, ts.url+"/?id=c", nil)
		response, err := ts.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != 405 {
			t.Errorf("%s: got %s", method, response.Status)
		}
	}
	// Two ShareData: the stream says what is refused.
	r := ts.changes("id=c&id=x&as=bob", "")
	for _, e := range []streamEvent{r.next(), r.next()} {
		if e.name != "whole" && e.data != "unknown-share-data" {
			t.Errorf("got %v", e)
		}
	}
	if r := ts.changes("id=c&as=bob", ""); r.response.StatusCode != 429 {
		t.Errorf("got %s", r.response.Status)
	}
}

// A panic of Encode ends the streams that it concerns.
func TestServeEventStream_EncodePanics(t *testing.T) {
	ts := changesServer(t, nil, false)
	ts.create("c")
	r := ts.changes("id=c", "")
	r.wantData(`whole {"value":0} resumed=false replaying=0`)
	if _, err := ts.manager.Propose(t.Context(), sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 13}}); err != nil {
		t.Fatal(err)
	}
	if line, err := r.body.ReadString('\n'); err == nil && !strings.HasPrefix(line, ":") {
		t.Errorf("got %q", line)
	}
}

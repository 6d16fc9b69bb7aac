package realtime_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// streamEvent is a server-sent event.
type streamEvent struct{ name, id, data string }

func (e streamEvent) String() string { return e.name + " " + e.id + " " + e.data }

// eventReader reads an event stream as a browser does (HTML Standard, section 9.2.6).
type eventReader struct {
	*testing.T
	body     *bufio.Reader
	response *http.Response
	lastID   string
	comments int
}

// stream requests an event stream, from after an event if its id is not empty.
func (ts *testServer) stream(query, lastID string, header ...string) *eventReader {
	ts.Helper()
	ctx, cancel := context.WithCancel(ts.Context())
	ts.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", ts.url+"/realtime?"+query, nil)
	if err != nil {
		ts.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := ts.client.Do(r)
	if err != nil {
		ts.Fatal(err)
	}
	ts.Cleanup(func() { response.Body.Close() })
	return &eventReader{T: ts.T, body: bufio.NewReader(response.Body), response: response, lastID: lastID}
}

// next returns the next event; its name is empty at the end of the stream.
func (r *eventReader) next() (e streamEvent) {
	r.Helper()
	for {
		line, err := r.body.ReadString('\n')
		if err != nil {
			return streamEvent{}
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "":
			if e.name != "" {
				return e
			}
		case "event":
			e.name = value
		case "data":
			e.data += value
		case "id":
			e.id, r.lastID = value, value
		case ":":
			r.comments++
		case "retry":
		default:
			r.Fatalf("got the line %q", line)
		}
	}
}

// want reads events whose ids end so; of one without an id, its name is expected.
func (r *eventReader) want(name string, ends ...string) {
	r.Helper()
	for _, end := range ends {
		if e := r.next(); e.name != name || !strings.HasSuffix(e.id, end) {
			r.Fatalf("got %v, want %s at %s", e, name, end)
		}
	}
}

// A stream that is cut anywhere, also in the middle of a replay, goes on exactly there.
func TestEventStream_Resume(t *testing.T) {
	for _, query := range []string{"shareDataId=c", "shareDataId=c&patches=true"} {
		ts := serve(t, nil)
		ts.create("c")
		r := ts.stream(query, "")
		r.want("state", "-1")
		ts.add("c", 2)
		r.want("transaction", "-2", "-3")
		r.response.Body.Close()
		ts.add("c", 4)

		r = ts.stream(query, r.lastID)
		if e := r.next(); e.name != "state" || !strings.HasSuffix(e.id, "-3") || !strings.Contains(e.data, `"replaying":4`) {
			t.Fatalf("got %v", e)
		}
		r.want("transaction", "-4", "-5")
		r.response.Body.Close()

		r = ts.stream(query+"&since=ignored", r.lastID)
		r.want("state", "-5")
		r.want("transaction", "-6", "-7")
		ts.add("c", 1)
		r.want("transaction", "-8")

		r = ts.stream(query+"&since="+r.lastID, "")
		r.want("state", "-8")
	}
}

// The id of an event has the positions in all ShareData of the stream.
func TestEventStream_Several(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	ts.create("d")
	const query = "shareDataId=c&shareDataId=d"
	r := ts.stream(query, "")
	r.want("state", "", "")
	ts.add("c", 1)
	r.want("transaction", ","+ts.cursor("d").String())
	ts.add("d", 1)
	r.want("transaction", ts.cursor("c").String()+","+ts.cursor("d").String())
	r.response.Body.Close()
	ts.add("d", 2)
	r = ts.stream(query, r.lastID)
	seen := map[string]int{}
	for range 4 { // the order between the two is not defined
		e := r.next()
		seen[e.name]++
	}
	if seen["state"] != 2 || seen["transaction"] != 2 || r.lastID != ts.cursor("c").String()+","+ts.cursor("d").String() {
		t.Errorf("got %v, the last at %s", seen, r.lastID)
	}
	r = ts.stream(query, "of another server")
	r.want("state", "")
	if r.next(); r.next().name == "" {
		t.Error("an unknown Last-Event-ID ends the stream")
	}
}

func TestEventStream_Refused(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxSubscriptions: 2, AuthorizeSubscribe: func(_ context.Context, _ *sharedata.Caller, id string) error {
		if id == "secret" {
			return &realtime.Refusal{Message: "go away"}
		}
		return nil
	}})
	ts.create("c")
	for query, status := range map[string]int{
		"": 400, "shareDataId=": 400, "shareDataId=c&shareDataId=c": 400, "shareDataId=a&shareDataId=b&shareDataId=c": 400,
		"shareDataId=unknown": 404, "shareDataId=$revocations": 404, "shareDataId=secret": 403,
	} {
		r := ts.stream(query, "")
		body, err := io.ReadAll(r.body)
		if r.response.StatusCode != status || r.response.Header.Get("Content-Type") != "application/problem+json" || err != nil ||
			!strings.Contains(string(body), fmt.Sprintf(`"status":%d`, status)) {
			t.Errorf("%s: %s %s, want %d", query, r.response.Status, body, status)
		}
	}
	r := ts.stream("shareDataId=c&shareDataId=unknown", "")
	for range 2 {
		if e := r.next(); e.name == "error" && !strings.Contains(e.data, codes.UnknownShareData) {
			t.Errorf("got %v", e)
		}
	}
	ts.add("c", 1)
	r.want("transaction", "-2,")
}

// When the last ShareData is removed, the stream says so and ends.
func TestEventStream_Removed(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	r := ts.stream("shareDataId=c", "")
	r.want("state", "-1")
	if err := ts.manager.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if e := r.next(); e.name != "lifecycle" || !strings.Contains(e.data, `"removed"`) {
		t.Errorf("got %v", e)
	}
	if e := r.next(); e.name != "close" || !strings.Contains(e.data, `"code":1000`) || r.next().name != "" {
		t.Errorf("got %v", e)
	}
}

func TestEventStream_Revoked(t *testing.T) {
	var c callers
	c.issue("token", "bob", time.Hour)
	ts := serve(t, &realtime.Options{Authenticate: c.authenticate})
	ts.create("c")
	r := ts.stream("shareDataId=c", "", "Authorization", "token")
	r.want("state", "-1")
	if err := ts.server.Revoke(t.Context(), realtime.Revocation{Subject: "bob"}); err != nil {
		t.Fatal(err)
	}
	if e := r.next(); e.name != "close" || !strings.Contains(e.data, `"code":4002`) || r.next().name != "" {
		t.Errorf("got %v", e)
	}
	if r := ts.stream("shareDataId=c", "", "Authorization", "none"); r.response.StatusCode != 401 {
		t.Errorf("got %s", r.response.Status)
	}
}

// An idle stream has comments, by which both sides notice that the other one is gone.
func TestEventStream_Heartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: 10 * time.Second})
		ts.create("c")
		r := ts.stream("shareDataId=c", "")
		r.want("state", "-1")
		time.AfterFunc(time.Minute+time.Second, func() { ts.add("c", 1) })
		r.want("transaction", "-2")
		if r.comments != 6 {
			t.Errorf("%d comments in a minute", r.comments)
		}
	})
}

// HTTP/2 shares a connection between requests, so a stream does not take it over.
func TestEventStream_HTTP2(t *testing.T) {
	ts := newTestServer(t, sharedata.Options{}, nil)
	h := httptest.NewUnstartedServer(ts.server)
	h.EnableHTTP2 = true
	h.TLS = &tls.Config{}
	h.StartTLS()
	t.Cleanup(h.Close)
	ts.url, ts.client = h.URL, h.Client()
	ts.create("c")
	r := ts.stream("shareDataId=c", "")
	r.want("state", "-1")
	ts.add("c", 2)
	r.want("transaction", "-2", "-3")
	if r.response.ProtoMajor != 2 {
		t.Fatalf("the response is of %s", r.response.Proto)
	}
	r.response.Body.Close()
	ts.add("c", 1)
	r = ts.stream("shareDataId=c", r.lastID)
	r.want("state", "-3")
	r.want("transaction", "-4")
	if err := ts.manager.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	r.next()
	if e := r.next(); e.name != "close" {
		t.Errorf("got %v", e)
	}
	if _, err := r.body.ReadByte(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
}

// A client that does not read costs only itself.
func TestEventStream_FellBehind(t *testing.T) {
	overflow := make(chan realtime.OverflowEvent, 1)
	ts := serve(t, &realtime.Options{MaxBufferedBytes: 256 << 10, Observer: realtime.Observer{OnOverflow: func(e realtime.OverflowEvent) { overflow <- e }}})
	if _, err := ts.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", 32<<10)}, add); err != nil {
		t.Fatal(err)
	}
	slow, fast := ts.stream("shareDataId=c", ""), ts.dial()
	slow.want("state", "-1")
	fast.join("c", "")
	for n := 2; ; n++ {
		ts.add("c", 1)
		want[*wire.Transaction](fast)
		select {
		case <-overflow:
			return
		default:
			if n > 2000 {
				t.Fatal("60 MB wait for a client that reads nothing")
			}
		}
	}
}

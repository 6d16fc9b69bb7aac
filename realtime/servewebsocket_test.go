package realtime_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// serveWords serves a protocol of words over WebSocket: the one of lines, with "echo TEXT".
func serveWords(ts *testServer, options realtime.WebSocketOptions) (url string, sessions <-chan *realtime.Session) {
	opened := make(chan *realtime.Session, 100)
	options.Protocol = lines
	receive := options.Receive
	options.Receive = func(s *realtime.Session, m realtime.ClientMessage) {
		if receive != nil {
			receive(s, m)
		}
		switch words := strings.SplitN(string(m.Data), " ", 5); {
		case m.RetryAfter > 0:
			s.Send([]byte("later"))
		case words[0] == "hello":
			opened <- s
			s.Send(fmt.Appendf(nil, "welcome, binary: %t", m.Binary))
		case words[0] == "sub":
			s.Subscribe(realtime.Subscription{ShareDataID: words[1], Since: strings.Join(words[2:], "")})
		case words[0] == "do":
			s.Propose(realtime.Proposal{CorrelationID: words[1], ShareDataID: words[2], FunctionID: words[3], Data: []byte(words[4])})
		case words[0] == "echo":
			s.Send(bytes.Clone(m.Data[5:]))
		case words[0] == "panic":
			panic("a bug of the application")
		}
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ts.server.ServeWebSocket(w, r, &options) }))
	ts.Cleanup(h.Close)
	return h.URL, opened
}

// wordClient is a client of the protocol of words.
type wordClient struct {
	*testing.T
	*websocket.Conn
	kind websocket.MessageType
}

func dialWords(t *testing.T, url string, options *websocket.DialOptions) *wordClient {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return &wordClient{t, conn, websocket.MessageText}
}

func (c *wordClient) say(text string) {
	c.Helper()
	if err := c.Write(c.Context(), c.kind, []byte(text)); err != nil {
		c.Fatal(err)
	}
}

// want reads messages that begin so.
func (c *wordClient) want(beginnings ...string) (last string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), testTimeout)
	defer cancel()
	for _, beginning := range beginnings {
		kind, data, err := c.Read(ctx)
		if err != nil || kind != c.kind || !strings.HasPrefix(string(data), beginning) {
			c.Fatalf("got %v %q and %v, want %s", kind, data, err, beginning)
		}
		last = string(data)
	}
	return last
}

func (c *wordClient) wantClose(code int) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), testTimeout)
	defer cancel()
	if _, data, err := c.Read(ctx); int(websocket.CloseStatus(err)) != code {
		c.Fatalf("got %q and %v, want the close code %d", data, err, code)
	}
}

// A protocol over WebSocket has the promises of our own, and messages of the application
// keep their order with what they follow.
func TestServeWebSocket_Promises(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	url, sessions := serveWords(ts, realtime.WebSocketOptions{})
	c := dialWords(t, url, nil)
	c.say("hello")
	c.want("welcome, binary: false")
	c.say("sub c")
	c.want("state c ")
	c.say(`do one c add {"by":2}`)
	since := strings.Fields(c.want("change c "))[2]
	c.want("done one ")
	c.say(`do two c add nonsense`)
	c.want("failed two ")
	for i := range 500 {
		c.say(fmt.Sprintf("echo %d", i))
	}
	for i := range 500 {
		c.want(fmt.Sprint(i))
	}
	c.CloseNow()
	<-(<-sessions).Done()
	ts.add("c", 2)

	c = dialWords(t, url, nil)
	c.say("sub c " + since)
	c.want("state c ", "change c ", "change c ")
	ts.add("c", 1)
	if line := c.want("change c "); !strings.HasSuffix(line, " {\"value\":5}\n") {
		t.Errorf("got %q", line)
	}
	c.say("sub c 7-7")
	c.want("state c ", "error c replay-cursor-not-found")
	c.say("echo " + strings.Repeat("x", 2<<20))
	c.want("error  invalid-message")
	c.wantClose(codes.CloseInvalidMessage)
}

// Messages are binary, and a subprotocol is negotiated, where the application has it so.
func TestServeWebSocket_Binary(t *testing.T) {
	ts := serve(t, &realtime.Options{CompressFrom: 512})
	ts.create("c")
	url, _ := serveWords(ts, realtime.WebSocketOptions{Binary: true, Subprotocols: []string{"words.v2", "words"}})
	c := dialWords(t, url, &websocket.DialOptions{Subprotocols: []string{"words"}, CompressionMode: websocket.CompressionNoContextTakeover})
	if got := c.Subprotocol(); got != "words" {
		t.Errorf("the subprotocol is %q", got)
	}
	c.kind = websocket.MessageBinary
	c.say("hello")
	c.want("welcome, binary: true")
	c.say("sub c")
	c.want("state c ")
	ts.add("c", 1)
	c.want("change c ")
	long := strings.Repeat("\xff\x00", 5000)
	c.say("echo " + long)
	c.want(long)
}

// The limits, hooks and ends of sessions are those of all connections.
func TestServeWebSocket_Limits(t *testing.T) {
	ts := serve(t, &realtime.Options{
		MaxConnectionsPerSubject: 2, MessagesPerSecond: 1, MessageBurst: 3,
		AuthorizeSubscribe: func(_ context.Context, caller *sharedata.Caller, id string) error {
			return &realtime.Refusal{Message: "not " + caller.Subject}
		},
	})
	ts.create("c")
	url, sessions := serveWords(ts, realtime.WebSocketOptions{Caller: &sharedata.Caller{Subject: "bob"}})
	refused := func(status int, header http.Header) {
		t.Helper()
		_, response, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: header})
		if err == nil || response == nil || response.StatusCode != status {
			t.Fatalf("got %v, want the status %d", err, status)
		}
	}
	c := dialWords(t, url, nil)
	c.say("sub c")
	c.want("error c unauthorized-subscribe")
	c.say("hello")
	c.want("welcome")
	c.say("echo three")
	c.want("three")
	c.say("echo four")
	c.want("later")
	refused(http.StatusForbidden, http.Header{"Origin": {"https://elsewhere.example"}})
	other := dialWords(t, url, nil)
	refused(http.StatusTooManyRequests, nil)
	(<-sessions).End()
	c.wantClose(-1)
	if err := ts.server.Revoke(t.Context(), realtime.Revocation{Subject: "bob"}); err != nil {
		t.Fatal(err)
	}
	other.wantClose(codes.CloseUnauthorized)
	refused(http.StatusUnauthorized, nil)
	if err := ts.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused(http.StatusServiceUnavailable, nil)
}

// A panic in Receive costs one connection, and missing options none of the process.
func TestServeWebSocket_Panics(t *testing.T) {
	ts := serve(t, nil)
	url, _ := serveWords(ts, realtime.WebSocketOptions{})
	c, other := dialWords(t, url, nil), dialWords(t, url, nil)
	c.say("panic")
	c.wantClose(-1)
	other.say("hello")
	other.want("welcome")

	w := httptest.NewRecorder()
	ts.server.ServeWebSocket(w, httptest.NewRequest("GET", "/", nil), &realtime.WebSocketOptions{Protocol: lines})
	if w.Code != http.StatusInternalServerError {
		t.Errorf("got the status %d", w.Code)
	}
}

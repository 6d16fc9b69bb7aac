package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the service on a free port and returns its URL. The test fails if
// the service does not end without an error after the test.
func start(t *testing.T, c config) string {
	t.Helper()
	c.addr = "127.0.0.1:0"
	if c.store == "" {
		c.store = "mem:"
	}
	if c.path == "" {
		c.path = "/realtime"
	}
	c.issuer, c.audience, c.channelsClaim = "issuer", "SHAREDATA", "channels"
	if c.readTimeout == 0 {
		c.readTimeout = 10 * time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, c, in, slog.New(slog.DiscardHandler))
		in.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !found {
		t.Fatalf("the first line is %q", line)
	}
	return url
}

func request(t *testing.T, method, url, body string, header http.Header) (status int, answer map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ContentLength != 0 && response.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatalf("%s %s answers no JSON: %v", method, url, err)
		}
	}
	return response.StatusCode, answer
}

func TestAdministration(t *testing.T) {
	url := start(t, config{replay: 100})
	for _, step := range []struct {
		method, id, body string
		status           int
		state            string
		revision         float64
	}{
		{"GET", "counter", "", 200, `{"value":0}`, 1},
		{"GET", "doc", "", 200, `null`, 1},
		{"GET", "new", "", 404, "", 0},
		{"PUT", "new", `1`, 404, "", 0},
		{"DELETE", "new", "", 404, "", 0},
		{"POST", "new", `{"a":`, 400, "", 0},
		{"POST", "new", `{"a":1}`, 201, `{"a":1}`, 1},
		{"POST", "new", `{"a":2}`, 409, "", 0},
		{"PUT", "new", `[2]`, 200, `[2]`, 2},
		{"PUT", "new", ``, 400, "", 0},
		{"GET", "new", "", 200, `[2]`, 2},
		{"DELETE", "new", "", 204, "", 0},
		{"GET", "new", "", 404, "", 0},
		{"POST", "new", `"again"`, 201, `"again"`, 1},
		{"POST", "large", `"` + strings.Repeat("x", maxBody) + `"`, 413, "", 0},
	} {
		name := fmt.Sprintf("%s %s %.20s", step.method, step.id, step.body)
		status, answer := request(t, step.method, url+"/admin/sharedata/"+step.id, step.body, nil)
		if status != step.status {
			t.Errorf("%s: status %d, want %d (%v)", name, status, step.status, answer)
		}
		if step.state == "" {
			continue
		}
		state, _ := json.Marshal(answer["state"])
		if string(state) != step.state || answer["revision"] != step.revision {
			t.Errorf("%s: %v, want state %s at revision %v", name, answer, step.state, step.revision)
		}
	}
}

func TestAdministration_StateAt(t *testing.T) {
	url := start(t, config{replay: 100}) + "/admin/sharedata/doc"
	_, first := request(t, "GET", url, "", nil)
	request(t, "PUT", url, `{"a":1}`, nil)
	cursor := first["cursor"].(string)
	for path, want := range map[string]int{cursor: 200, cursor + "0": 404, "yesterday": 400} {
		status, answer := request(t, "GET", url+"/"+path, "", nil)
		if state, there := answer["state"]; status != want || there != (want == 200) || state != nil {
			t.Errorf("%s: %d %v, want %d", path, status, answer, want)
		}
	}
}

func TestFunctions(t *testing.T) {
	url := start(t, config{replay: 100})
	c, err := client.Dial(t.Context(), url+"/realtime", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, step := range []struct {
		id, function string
		data         string
		want         string // accepted, rejected or refused
		state        string
	}{
		{"counter", "add", `{"by":5}`, "accepted", `{"value":5}`},
		{"counter", "add", `{"by":-6}`, "rejected", `{"value":5}`},
		{"counter", "add", `{"by":9223372036854775807}`, "rejected", `{"value":5}`},
		{"counter", "add", `{"by":"1"}`, "refused", `{"value":5}`},
		{"counter", "add", `{}`, "refused", `{"value":5}`},
		{"counter", "reset", `null`, "accepted", `{"value":0}`},
		{"counter", "set", `1`, "refused", `{"value":0}`},
		{"doc", "set", `{"title":"<b>"}`, "accepted", `{"title":"<b>"}`},
		{"doc", "set", `null`, "rejected", `{"title":"<b>"}`},
		{"doc", "merge", `{"title":null,"tags":{"a":1}}`, "accepted", `{"tags":{"a":1}}`},
		{"doc", "merge", `[]`, "rejected", `{"tags":{"a":1}}`},
		{"doc", "set", `0`, "accepted", `0`},
	} {
		name := fmt.Sprintf("%s.%s(%s)", step.id, step.function, step.data)
		got := "accepted"
		result, err := c.Propose(t.Context(), step.id, step.function, json.RawMessage(step.data))
		var refused *client.ProposalError
		switch {
		case errors.As(err, &refused):
			got = "refused"
		case err != nil:
			t.Fatal(name, err)
		case !result.Accepted:
			got = "rejected"
		}
		if got != step.want {
			t.Errorf("%s was %s, want %s: %+v %v", name, got, step.want, result, err)
		}
		_, answer := request(t, "GET", url+"/admin/sharedata/"+step.id, "", nil)
		var state strings.Builder
		encoder := json.NewEncoder(&state)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(answer["state"]); err != nil || strings.TrimSpace(state.String()) != step.state {
			t.Errorf("after %s the state is %s, want %s (%v)", name, state.String(), step.state, err)
		}
	}
}

func TestToken_RequiredEverywhere(t *testing.T) {
	url := start(t, config{replay: 100, token: "secret"})
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	for _, attempt := range []struct {
		query  string
		header http.Header
		want   int
	}{
		{"", nil, 401},
		{"?token=wrong", nil, 401},
		{"", bearer("wrong"), 401},
		{"?token=secret", bearer("wrong"), 401}, // the header comes first
		{"?token=secret", nil, 200},
		{"?token=wrong", bearer("secret"), 200},
	} {
		if got, _ := request(t, "GET", url+"/admin/sharedata/doc"+attempt.query, "", attempt.header); got != attempt.want {
			t.Errorf("GET with %q and %v: %d, want %d", attempt.query, attempt.header, got, attempt.want)
		}
		c, err := client.Dial(t.Context(), url+"/realtime"+attempt.query, &client.Options{Header: attempt.header})
		if (err == nil) != (attempt.want == 200) || err != nil && !errors.Is(err, client.ErrUnauthorized) {
			t.Errorf("dial with %q and %v: %v", attempt.query, attempt.header, err)
		}
		if c != nil {
			c.Close()
		}
	}
}

func TestFlags(t *testing.T) {
	url := start(t, config{path: "/elsewhere", replay: 0, heartbeat: time.Hour, maxBuffered: 1 << 16})
	c, err := client.Dial(t.Context(), url+"/elsewhere", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	result, err := c.Propose(t.Context(), "counter", "add", map[string]int{"by": 1})
	if err != nil {
		t.Fatal(err)
	}
	before := strings.TrimSuffix(result.TransactionID, "-2") + "-1"
	for event, err := range c.SubscribeFrom("counter", before).Events(t.Context()) {
		if _, gap := event.(*client.Gap); !gap {
			t.Errorf("without a replay window, a cursor one behind leads to %T %v instead of a gap", event, err)
		}
		break
	}
}

// firstEvent subscribes and returns the first event.
func firstEvent(t *testing.T, url, id string) (client.Event, error) {
	t.Helper()
	c, err := client.Dial(t.Context(), url+"/realtime", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for event, err := range c.Subscribe(id).Events(t.Context()) {
		return event, err
	}
	t.Fatal("the subscription ended without an event")
	return nil, nil
}

// wantState subscribes and expects the state.
func wantState(t *testing.T, url, id, want string) {
	t.Helper()
	event, err := firstEvent(t, url, id)
	if state, ok := event.(*client.State); !ok || string(state.CurrentState) != want {
		t.Fatalf("subscribe to %q: got %+v, %v; want the state %s", id, event, err, want)
	}
}

// Redis loses everything while nobody is subscribed. The next subscribe and the
// next proposal find the ShareData of the service, but not what an operator had
// created.
func TestOwned_CreatedAgainAfterLoss(t *testing.T) {
	redis := redistest.Start(t, nil)
	url := start(t, config{store: "redis://" + redis.Addr(), replay: 100})
	wantState(t, url, "counter", `{"value":0}`)
	if status, _ := request(t, "POST", url+"/admin/sharedata/other", `1`, nil); status != http.StatusCreated {
		t.Fatalf("create: status %d", status)
	}
	redis.Flush()
	wantState(t, url, "counter", `{"value":0}`)
	redis.Flush()
	c, err := client.Dial(t.Context(), url+"/realtime", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if result, err := c.Propose(t.Context(), "doc", "set", 7); err != nil || !result.Accepted {
		t.Errorf("propose after the loss: %+v, %v", result, err)
	}
	if status, _ := request(t, "GET", url+"/admin/sharedata/other", "", nil); status != http.StatusNotFound {
		t.Errorf("what the operator created has status %d after the loss", status)
	}
}

// What an operator removes stays removed until it is created.
func TestOwned_RemovalIsKept(t *testing.T) {
	url := start(t, config{replay: 100})
	if status, _ := request(t, "DELETE", url+"/admin/sharedata/counter", "", nil); status != http.StatusNoContent {
		t.Fatalf("remove: status %d", status)
	}
	if event, err := firstEvent(t, url, "counter"); !errors.Is(err, client.ErrUnknownShareData) {
		t.Errorf("subscribe after the removal: %+v, %v", event, err)
	}
	if status, _ := request(t, "POST", url+"/admin/sharedata/counter", `{"value":3}`, nil); status != http.StatusCreated {
		t.Fatalf("create: status %d", status)
	}
	wantState(t, url, "counter", `{"value":3}`)
	c, err := client.Dial(t.Context(), url+"/realtime", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if result, err := c.Propose(t.Context(), "counter", "add", addInput{By: 1}); err != nil || !result.Accepted {
		t.Errorf("the created counter has not its functions: %+v, %v", result, err)
	}
}

// A request whose body never ends is cut after the read time-out; a WebSocket
// connection that was opened before it lives on.
func TestReadTimeout_SparesWebSocket(t *testing.T) {
	url := start(t, config{replay: 100, readTimeout: 50 * time.Millisecond})
	// The client does not reconnect during the test.
	c, err := client.Dial(t.Context(), url+"/realtime", &client.Options{
		Backoff: client.Backoff{Initial: time.Hour, Max: time.Hour}, RequestTimeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PUT /admin/sharedata/doc HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil { // returns when the server closes the connection
		t.Fatal(err)
	}
	if _, err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/client"
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

func TestAdministrationLeadsThroughALife(t *testing.T) {
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

func TestFunctionsJudgeAsDocumented(t *testing.T) {
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

func TestTokenIsDemandedEverywhere(t *testing.T) {
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

func TestFlagsReachTheServer(t *testing.T) {
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

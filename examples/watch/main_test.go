package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves the ShareData "thing", whose function replaces its state.
func serve(t *testing.T, state any) (manager *sharedata.Manager, url string) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	set := sharedata.NewRawFunction("set", func(_ context.Context, _, proposed json.RawMessage) (json.RawMessage, error) {
		if string(proposed) == "null" {
			return nil, sharedata.Reject("not null")
		}
		return proposed, nil
	})
	if _, err := manager.Create(t.Context(), "thing", state, set); err != nil {
		t.Fatal(err)
	}
	everybody := func(context.Context, *sharedata.Caller, string) error { return nil }
	server, err := realtime.NewServer(manager, &realtime.Options{AuthorizeActivity: everybody})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return manager, web.URL
}

// startWatch returns what reads the next line of a watch, and its end.
func startWatch(t *testing.T, url string, options client.Options, subscribe client.SubscribeOptions) (read func() string, ended <-chan error) {
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() {
		err := watch(ctx, url, &options, "thing", subscribe, in)
		in.Close()
		end <- err
	}()
	t.Cleanup(func() { cancel(); io.Copy(io.Discard, out) })
	lines := bufio.NewScanner(out)
	return func() string {
		lines.Scan()
		return lines.Text()
	}, end
}

func TestWatch(t *testing.T) {
	manager, url := serve(t, 0)
	read, ended := startWatch(t, url, client.Options{}, client.SubscribeOptions{})
	if line := read(); !strings.HasPrefix(line, "state        0 at ") {
		t.Fatalf("first line %q", line)
	}
	for _, step := range []struct{ data, answer, line string }{
		{`{"a":1}`, "accepted at ", `transaction  set accepted at %s, now {"a":1}`},
		{`null`, "rejected at ", `transaction  set rejected at %s`},
	} {
		var answer strings.Builder
		if err := propose(t.Context(), url, &client.Options{}, client.Proposal{ShareDataID: "thing", FunctionID: "set", Data: json.RawMessage(step.data)}, &answer); err != nil {
			t.Fatal(err)
		}
		cursor, found := strings.CutPrefix(strings.TrimSpace(answer.String()), step.answer)
		cursor, _, _ = strings.Cut(cursor, ":")
		if line := read(); !found || line != fmt.Sprintf(step.line, cursor) {
			t.Errorf("answered %q, then showed %q", answer.String(), line)
		}
	}
	if _, err := manager.Update(t.Context(), "thing", 7); err != nil {
		t.Fatal(err)
	}
	if line := read(); !strings.HasPrefix(line, "updated      at ") || !strings.HasSuffix(line, ", now 7") {
		t.Errorf("the update is shown as %q", line)
	}
	if err := manager.Remove(t.Context(), "thing"); err != nil {
		t.Fatal(err)
	}
	if line := read(); line != "removed" {
		t.Errorf("the removal is shown as %q", line)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A watch shows what changed, or with -patches=false the state.
func TestWatch_Changes(t *testing.T) {
	text := strings.Repeat("x", 100)
	manager, url := serve(t, map[string]any{"n": 1, "text": text})
	patches, _ := startWatch(t, url, client.Options{}, client.SubscribeOptions{Conflate: true, Activity: true})
	states, _ := startWatch(t, url, client.Options{KeptStateBytes: -1}, client.SubscribeOptions{})
	patches()
	states()
	data := fmt.Sprintf(`{"n":2,"text":"%s"}`, text)
	result, err := manager.Propose(t.Context(), sharedata.Proposal{ShareDataID: "thing", FunctionID: "set", Data: json.RawMessage(data)})
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("transaction  set accepted at %s, ", result.Cursor)
	got, _, found := strings.Cut(patches(), ", on ")
	if want := line + `changed by [{"op":"replace","path":"/n","value":2}]`; got != want || !found {
		t.Errorf("got %q, want %q and the activity", got, want)
	}
	if got, want := states(), line+"now "+data; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDescribe(t *testing.T) {
	activity := client.Activity{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Subject: "ann", Issuer: "here",
		ProposedData: json.RawMessage(`{"by":1}`), Code: "full", Reason: "no room",
	}
	for _, test := range []struct {
		event client.Event
		want  string
	}{
		{&client.State{CurrentState: json.RawMessage("1"), Cursor: "5-9", Resumed: true, Replaying: 2}, "state        1 at 5-9, resumed: 2 missed events follow"},
		{&client.Transaction{FunctionID: "set", Accepted: true, TransactionID: "5-8", Replayed: true}, "transaction  set accepted at 5-8, while away"},
		{&client.Lifecycle{Cursor: "5-9", Replayed: true}, "updated      at 5-9, while away"},
		{&client.State{CurrentState: json.RawMessage("1"), Cursor: "5-9", Skipped: 7}, "state        1 at 5-9, in place of 7 events"},
		{&client.Transaction{FunctionID: "set", Accepted: true, TransactionID: "5-8", Replayed: true, CurrentState: json.RawMessage("1"), Patch: json.RawMessage("[]")}, "transaction  set accepted at 5-8, while away, changed by []"},
		{&client.Transaction{FunctionID: "set", TransactionID: "5-8", Activity: &activity}, `transaction  set rejected at 5-8, on 2026-01-02 03:04:05 by ann of here with {"by":1}, because of full: no room`},
		{&client.Lifecycle{Removed: true, Activity: &client.Activity{Time: activity.Time}}, "removed, on 2026-01-02 03:04:05"},
		{&client.Gap{Reason: "too old"}, "gap          too old"},
	} {
		if got := describe(test.event); got != test.want {
			t.Errorf("described as %q, want %q", got, test.want)
		}
	}
}

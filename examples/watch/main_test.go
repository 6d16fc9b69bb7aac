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

	"go.uber.org/goleak"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWatch(t *testing.T) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	set := sharedata.NewRawFunction("set", func(_ context.Context, _, proposed json.RawMessage) (json.RawMessage, error) {
		if string(proposed) == "null" {
			return nil, sharedata.Reject("not null")
		}
		return proposed, nil
	})
	if _, err := manager.Create(t.Context(), "thing", 0, set); err != nil {
		t.Fatal(err)
	}
	server, err := realtime.NewServer(manager, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	defer http.DefaultClient.CloseIdleConnections()

	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := watch(t.Context(), web.URL, &client.Options{}, "thing", in)
		in.Close()
		ended <- err
	}()
	lines := bufio.NewScanner(out)
	read := func() string {
		lines.Scan()
		return lines.Text()
	}
	if line := read(); !strings.HasPrefix(line, "state        0 at ") {
		t.Fatalf("first line %q", line)
	}
	for _, step := range []struct{ data, answer, line string }{
		{`{"a":1}`, "accepted at ", `transaction  set accepted at %s, now {"a":1}`},
		{`null`, "rejected at ", `transaction  set rejected at %s, now {"a":1}`},
	} {
		var answer strings.Builder
		if err := propose(t.Context(), web.URL, &client.Options{}, client.Proposal{ShareDataID: "thing", FunctionID: "set", Data: json.RawMessage(step.data)}, &answer); err != nil {
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

func TestDescribe_WhileAway(t *testing.T) {
	for _, test := range []struct {
		event client.Event
		want  string
	}{
		{&client.State{CurrentState: json.RawMessage("1"), Cursor: "5-9", Resumed: true, Replaying: 2}, "state        1 at 5-9, resumed: 2 missed events follow"},
		{&client.Transaction{FunctionID: "set", Accepted: true, TransactionID: "5-8", Replayed: true}, "transaction  set accepted at 5-8, while away"},
		{&client.Lifecycle{Cursor: "5-9", Replayed: true}, "updated      at 5-9, while away"},
		{&client.Gap{Reason: "too old"}, "gap          too old"},
	} {
		if got := describe(test.event); got != test.want {
			t.Errorf("described as %q, want %q", got, test.want)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves the ShareData doc-0 and doc-1, whose function replaces the state, and
// returns the flag -url for them. The proposal numbered cutAt cuts all connections.
func serve(t *testing.T, cutAt int64) (flag string) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	var mu sync.Mutex
	var conns []net.Conn
	var proposals atomic.Int64
	set := sharedata.NewRawFunction("set", func(_ context.Context, _, proposed json.RawMessage) (json.RawMessage, error) {
		if proposals.Add(1) == cutAt {
			mu.Lock()
			defer mu.Unlock()
			for _, conn := range conns {
				conn.Close()
			}
		}
		if string(proposed) == "null" {
			return nil, sharedata.Reject("not null")
		}
		return proposed, nil
	})
	for _, id := range []string{"doc-0", "doc-1"} {
		if _, err := manager.Create(t.Context(), id, nil, set); err != nil {
			t.Fatal(err)
		}
	}
	server, err := realtime.NewServer(manager, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	web := httptest.NewUnstartedServer(server)
	web.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if state == http.StateNew {
			conns = append(conns, conn)
		}
	}
	web.Start()
	t.Cleanup(web.Close)
	return "-url=" + web.URL
}

// execute runs the generator with these flags.
func execute(t *testing.T, in string, flags ...string) *report {
	t.Helper()
	c, err := parse(flags, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRun(c)
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.execute(t.Context(), strings.NewReader(in), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestLoad(t *testing.T) {
	url := serve(t, 0)
	for name, flags := range map[string][]string{
		"rate":        {"-rate=200"},
		"closed loop": {"-rate=0", "-proposers=2", "-window=4"},
		"patches":     {"-rate=200", "-patches"},
		"large":       {"-rate=100", "-payload=40000"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := append(flags, url, "-count=2", "-subscribers=10", "-warmup=50ms", "-duration=250ms")
			got := execute(t, "", flags...)
			if got.broken() || got.Gaps+got.Reconnects != 0 || len(got.Errors) != 0 {
				t.Errorf("a faithful server is reported with %+v", got)
			}
			if got.Subscribed != 10 || got.Disconnected != 0 || got.Transactions == 0 || got.Deliveries == 0 {
				t.Errorf("little happened: %+v", got)
			}
			// Each transaction goes to the five subscribers of its ShareData.
			if results, deliveries := got.ResultMicros, got.DeliveryMicros; results.Count == 0 || deliveries.Count != 5*results.Count || results.P50 > results.Max {
				t.Errorf("results %+v, deliveries %+v", results, deliveries)
			}
		})
	}
}

func TestLoad_Hold(t *testing.T) {
	url := serve(t, 0)
	got := execute(t, "\n", url, "-count=2", "-subscribers=20", "-hold")
	if got.broken() || got.Subscribed != 20 || got.Transactions != 2 || got.Deliveries != 20 || got.DeliveryMicros.Count != 20 {
		t.Errorf("got %+v", got)
	}
}

func TestLoad_Rejections(t *testing.T) {
	url := serve(t, 0)
	got := execute(t, "\n", url, "-count=2", "-subscribers=2", "-hold", "-data=null")
	if got.broken() || got.Transactions != 2 || got.Deliveries != 2 || got.Errors["rejected"] != 2 {
		t.Errorf("got %+v", got)
	}
}

// The 20th proposal cuts all connections. Each subscriber resumes and misses nothing.
func TestLoad_Reconnects(t *testing.T) {
	url := serve(t, 20)
	got := execute(t, "", url, "-count=1", "-subscribers=20", "-warmup=0", "-duration=500ms")
	if got.broken() || got.Gaps != 0 || got.Reconnects != 20 || got.Errors["connection"] < 20 || got.Disconnected != 0 {
		t.Errorf("got %+v", got)
	}
}

// Those that stop reading are not blamed on the server.
func TestLoad_Stalled(t *testing.T) {
	url := serve(t, 0)
	got := execute(t, "", url, "-count=1", "-subscribers=20", "-stalled=10", "-warmup=50ms", "-duration=250ms")
	if got.broken() || got.Subscribed != 20 || got.Disconnected != 2 || got.Deliveries < 18*got.Transactions {
		t.Errorf("got %+v", got)
	}
}

func TestLoad_NobodySubscribed(t *testing.T) {
	url := serve(t, 0)
	c, err := parse([]string{url, "-sharedata=missing", "-subscribers=2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRun(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.execute(t.Context(), nil, io.Discard); err == nil || !strings.Contains(err.Error(), "unknown-share-data") {
		t.Errorf("got %v", err)
	}
}

func TestFlags_Invalid(t *testing.T) {
	for flag, want := range map[string]string{
		"-url=localhost:80":  "use ws://HOST:PORT/PATH",
		"-url=ftp://host/":   "use ws://HOST:PORT/PATH",
		"-transport=tcp":     "use ws or sse",
		"-subscribers=-1":    "none negative",
		"-sharedata=":        "needs an id",
		"-count=-1":          "not negative",
		"-window=0":          "in flight",
		"-stalled=101":       "0 to 100",
		"-rate=-1":           "-rate",
		"-rate=NaN":          "-rate",
		"-rate=1e-12":        "-rate",
		"-ramp=0":            "-ramp",
		"-ramp=+Inf":         "-ramp",
		"-duration=0":        "must be positive",
		"-warmup=-1s":        "not negative",
		`-data={"a":sentAt}`: "not JSON",
		"-bogus":             "not defined",
		"argument":           "unexpected argument",
	} {
		var out strings.Builder
		if _, err := parse([]string{flag}, &out); err == nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: error %v, said %.200q, want %q", flag, err, out.String(), want)
		}
	}
}

func TestReport(t *testing.T) {
	got := report{Subscribers: 5, Errors: map[string]int64{"busy": 2}, examples: "  2 × busy\n"}
	got.Lost = 3
	var table strings.Builder
	got.table(&table)
	for _, want := range []string{"0 of 5", "lost       3", "2 × busy", "propose to delivery"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, table.String())
		}
	}
	encoded, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(encoded), `"lost":3`) || !got.broken() {
		t.Errorf("%s, %v", encoded, err)
	}
}

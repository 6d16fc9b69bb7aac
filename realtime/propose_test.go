package realtime_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

const secret = "password of the database"

// TestFailedProposalsAreAnsweredWithoutDetails has every way in which a
// proposal comes to no verdict.
func TestFailedProposalsAreAnsweredWithoutDetails(t *testing.T) {
	functionOf := func(f func(context.Context) error) *sharedata.Function {
		return sharedata.NewFunction("f", func(ctx context.Context, c counter, _ any) (counter, error) { return c, f(ctx) })
	}
	for _, test := range []struct {
		name     string
		options  realtime.Options
		function *sharedata.Function
		id, data string
		says     string
	}{
		{name: "unknown ShareData", id: "nowhere", says: `there is no ShareData "nowhere"`},
		{name: "unknown function", says: `has no function "f"`},
		{name: "function errs", function: functionOf(func(context.Context) error { return errors.New(secret) }), says: `function "f" failed`},
		{name: "function panics", function: functionOf(func(context.Context) error { panic(secret) }), says: `function "f" failed`},
		{
			name: "function takes too long",
			function: functionOf(func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}).WithTimeout(time.Millisecond),
			says: "took too long",
		},
		{
			name:     "data break the schema",
			function: functionOf(func(context.Context) error { return nil }).WithInputSchema(`{"properties":{"by":{"type":"integer"}}}`),
			data:     `{"by":"x"}`, says: "/by",
		},
		{name: "proposing is off", options: realtime.Options{Resolver: sharedata.ResolveNone}, says: "propose is not enabled on this server"},
		{
			name: "resolver finds nothing",
			options: realtime.Options{Resolver: func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
				return nil, nil
			}},
			function: functionOf(func(context.Context) error { return nil }), says: `has no function "f"`,
		},
		{
			name: "resolver errs",
			options: realtime.Options{Resolver: func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
				return nil, errors.New(secret)
			}},
			says: "could not be judged",
		},
		{
			name: "resolver panics",
			options: realtime.Options{Resolver: func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
				panic(secret)
			}},
			says: `has no function "f"`,
		},
		{
			name: "not authorized",
			options: realtime.Options{AuthorizePropose: func(context.Context, *sharedata.Caller, string, string) error {
				return errors.New(secret)
			}},
			function: functionOf(func(context.Context) error { return nil }),
			says:     `unauthorized-propose: not allowed to run "f" on "c"`,
		},
		{
			name: "authorizer panics",
			options: realtime.Options{AuthorizePropose: func(context.Context, *sharedata.Caller, string, string) error {
				panic(secret)
			}},
			function: functionOf(func(context.Context) error { return nil }),
			says:     "unauthorized-propose",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := overSockets(t, &test.options)
			if test.function != nil {
				w.create("c", test.function)
			} else {
				w.create("c")
			}
			p := w.dial()
			p.join("c", "")
			if test.id == "" {
				test.id = "c"
			}
			if test.data == "" {
				test.data = "null"
			}
			p.propose(test.id, "f", test.data, "mine")
			r := want[*wire.ProposalResult](p)
			if r.Accepted || r.TransactionID != "" || r.CorrelationID != "mine" {
				t.Errorf("got %s", r.AppendTo(nil))
			}
			if !strings.Contains(r.Error, test.says) || strings.Contains(r.Error, secret) {
				t.Errorf("error %q should say %q and no secrets", r.Error, test.says)
			}
			p.wantPong("open")
			if got := w.cursor("c").Revision; got != 1 {
				t.Errorf("the history has %d entries, want 1", got)
			}
		})
	}
}

func TestResolveByIDLeavesResolvingToTheManager(t *testing.T) {
	w := overSockets(t, &realtime.Options{Resolver: sharedata.ResolveByID})
	w.create("c")
	p := w.dial()
	p.propose("c", "add", `{"by":1}`, "1")
	if r := want[*wire.ProposalResult](p); !r.Accepted {
		t.Errorf("got %s", r.AppendTo(nil))
	}
}

func TestResolverMayRunAnyFunction(t *testing.T) {
	w := overSockets(t, &realtime.Options{
		Resolver: func(_ context.Context, _, functionID string, _ sharedata.Functions) (*sharedata.Function, error) {
			if functionID == "increase" {
				return add, nil
			}
			return nil, nil
		},
	})
	w.create("c")
	p := w.dial()
	p.propose("c", "increase", `{"by":1}`, "1")
	if r := want[*wire.ProposalResult](p); !r.Accepted {
		t.Errorf("got %s", r.AppendTo(nil))
	}
	p.propose("c", "add", `{"by":1}`, "2")
	if r := want[*wire.ProposalResult](p); r.Accepted {
		t.Errorf("got %s", r.AppendTo(nil))
	}
}

func TestStoreThatFailsIsReportedAndAnsweredWithoutDetails(t *testing.T) {
	store := newFragile(t, nil)
	var r recorder
	w := onStore(t, store, &realtime.Options{Observer: r.observer()})
	w.create("c")
	p := w.dial()
	store.failAppend.Store(true)
	p.propose("c", "add", `{"by":1}`, "1")
	result := want[*wire.ProposalResult](p)
	if result.Accepted || !strings.Contains(result.Error, "same idempotencyKey") || strings.Contains(result.Error, "fire") {
		t.Errorf("got %s", result.AppendTo(nil))
	}
	store.failAppend.Store(false)
	p.propose("c", "add", `{"by":1}`, "2")
	if result := want[*wire.ProposalResult](p); !result.Accepted {
		t.Errorf("after the store came back: %s", result.AppendTo(nil))
	}
	p.conn.CloseNow()
	r.wantClosed(t, 1006)
	w.server.Close() // waits for observers
	if len(r.failed) != 1 || r.failed[0].ShareDataID != "c" || !errors.Is(r.failed[0].Err, sharedata.ErrStore) {
		t.Errorf("events: %+v", r.failed)
	}
}

func TestCallerIsRecordedAndShownToHooks(t *testing.T) {
	caller := &sharedata.Caller{Subject: "ada", Claims: []byte(`{"role":"editor"}`), Value: 42}
	w := overSockets(t, &realtime.Options{
		Authenticate: authenticateAs(caller),
		AuthorizeSubscribe: func(ctx context.Context, c *sharedata.Caller, id string) error {
			if c != caller || sharedata.CallerFrom(ctx) != caller || id != "c" {
				return errors.New("wrong")
			}
			return nil
		},
		AuthorizePropose: func(ctx context.Context, c *sharedata.Caller, id, function string) error {
			if c != caller || sharedata.CallerFrom(ctx) != caller || id != "c" || function != "add" {
				return errors.New("wrong")
			}
			return nil
		},
	})
	w.create("c")
	p := w.dial()
	state := p.join("c", "")
	p.propose("c", "add", `{"by":1}`, "1")
	p.wantTransactions(2, 2)
	want[*wire.ProposalResult](p)
	after := w.cursor("c")
	after.Revision = state.Revision
	for entry, err := range w.manager.History(t.Context(), "c", after) {
		if err != nil {
			t.Fatal(err)
		}
		if entry.Caller == nil || entry.Caller.Subject != "ada" || !bytes.Equal(entry.Caller.Claims, caller.Claims) {
			t.Errorf("recorded caller %+v", entry.Caller)
		}
	}
}

func TestSlowFunctionHoldsUpNothingElse(t *testing.T) {
	w := overSockets(t, nil)
	slow, letGo := gate("slow")
	defer letGo()
	w.create("a", slow)
	w.create("b")
	p := w.dial()
	p.join("a", "")
	p.propose("a", "slow", "null", "slow")
	p.propose("a", "add", `{"by":1}`, "behind")
	p.wantPong("meanwhile")
	p.join("b", "")
	p.propose("b", "add", `{"by":1}`, "b")
	if m := want[*wire.Transaction](p); m.ShareDataID != "b" {
		t.Fatalf("got %s", m.AppendTo(nil))
	}
	if r := want[*wire.ProposalResult](p); r.CorrelationID != "b" {
		t.Fatalf("got %s", r.AppendTo(nil))
	}
	letGo()
	for _, correlation := range []string{"slow", "behind"} {
		m := must(p)
		for ; ; m = must(p) {
			if _, ok := m.(*wire.Transaction); !ok {
				break
			}
		}
		if r, ok := m.(*wire.ProposalResult); !ok || r.CorrelationID != correlation || !r.Accepted {
			t.Fatalf("want the result of %q, got %s", correlation, m.AppendTo(nil))
		}
	}
}

func TestSlowHookHoldsUpItsShareDataAlone(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	w := overSockets(t, &realtime.Options{
		AuthorizeSubscribe: func(_ context.Context, _ *sharedata.Caller, id string) error {
			if id == "a" {
				close(asked)
				<-goOn
			}
			return nil
		},
	})
	w.create("a")
	w.create("b")
	p := w.dial()
	p.subscribe("a", "")
	p.propose("a", "add", `{"by":1}`, "a") // must see its effect, so it waits for the subscription
	<-asked
	p.wantPong("meanwhile")
	p.join("b", "")
	close(goOn)
	if state := want[*wire.State](p); state.ShareDataID != "a" || state.Revision != 1 {
		t.Fatalf("got %s", state.AppendTo(nil))
	}
	p.wantTransactions(2, 2)
	want[*wire.ProposalResult](p)
}

func TestProposalIsJudgedAlthoughItsSenderHasGone(t *testing.T) {
	var r recorder
	w := overSockets(t, &realtime.Options{Observer: r.observer()})
	slow, letGo := gate("slow")
	defer letGo()
	w.create("c", slow)
	p := w.dial()
	p.propose("c", "slow", "null", "1")
	p.propose("c", "add", `{"by":1}`, "2")
	p.wantPong("both have arrived")
	p.conn.CloseNow()
	r.wantClosed(t, 1006)
	letGo()
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.cursor("c").Revision; got != 3 {
		t.Errorf("the history is at revision %d, want 3", got)
	}
}

func TestTooManyProposalsInFlightAreRefusedAtOnce(t *testing.T) {
	w := overSockets(t, &realtime.Options{MaxProposalsInFlight: 2})
	slow, letGo := gate("slow")
	defer letGo()
	w.create("c", slow)
	p := w.dial()
	for i := range 3 {
		p.propose("c", "slow", "null", strconv.Itoa(i))
	}
	r := want[*wire.ProposalResult](p)
	if r.CorrelationID != "2" || r.Accepted || !strings.Contains(r.Error, "limit: 2 ") {
		t.Fatalf("got %s", r.AppendTo(nil))
	}
	letGo()
	for i := range 2 {
		if r := want[*wire.ProposalResult](p); r.CorrelationID != strconv.Itoa(i) || !r.Accepted {
			t.Fatalf("got %s", r.AppendTo(nil))
		}
	}
	p.propose("c", "add", `{"by":1}`, "again")
	if r := want[*wire.ProposalResult](p); !r.Accepted {
		t.Fatalf("got %s", r.AppendTo(nil))
	}
}

func TestProposalsInFlightAreBoundedInBytes(t *testing.T) {
	const most = 1000
	w := overSockets(t, &realtime.Options{MaxMessageBytes: most})
	slow, letGo := gate("slow")
	defer letGo()
	w.create("c", slow)
	p := w.dial()
	for i := range 6 {
		p.propose("c", "slow", quoted(most-200), strconv.Itoa(i))
	}
	r := want[*wire.ProposalResult](p)
	if r.CorrelationID != "5" || !strings.Contains(r.Error, "bytes") {
		t.Fatalf("got %s", r.AppendTo(nil))
	}
}

func TestHookPanicsAreLoggedWithTheirStack(t *testing.T) {
	var log strings.Builder
	done := make(chan struct{})
	w := overSockets(t, &realtime.Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error {
			defer close(done)
			panic("over the top")
		},
	})
	w.create("c")
	p := w.dial()
	p.subscribe("c", "")
	p.wantError(codes.UnauthorizedSubscribe, "c")
	<-done
	w.server.Close()
	if got := log.String(); !strings.Contains(got, "over the top") || !strings.Contains(got, "propose_test.go") {
		t.Errorf("log: %s", got)
	}
}

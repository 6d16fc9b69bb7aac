package realtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// secret is in errors that clients must not see.
const secret = "password of the database"

// acceptAll is a ProofVerifier.
type acceptAll struct{}

func (acceptAll) VerifyProof(context.Context, sharedata.ProofRequest) error { return nil }

// failureTest is a proposal to run "f" on "c" that is not accepted.
type failureTest struct {
	name    string
	manager sharedata.Options
	options realtime.Options
	// f is the function; nil for none.
	f func(ctx context.Context) error
	// schema and timeout are the function's, if they are set.
	schema  string
	timeout time.Duration
	// before is called before the proposal is sent.
	before func(ts *testServer, store *failingStore, p *peer)
	// id and data replace "c" and null.
	id, data string

	code    string
	text    string // a part of the result's error
	details string
	retry   uint64
	// recorded says that the proposal leaves a transaction.
	recorded bool
}

func TestProposeFailures(t *testing.T) {
	fails := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	refuses := func(err error) realtime.Options {
		return realtime.Options{AuthorizePropose: func(context.Context, *sharedata.Caller, string, string) error { return err }}
	}
	resolver := func(f func() error) realtime.Options {
		return realtime.Options{Resolver: func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
			return nil, f()
		}}
	}
	tooLow := &realtime.Refusal{Code: "plan-too-low", Message: "upgrade your plan", RetryAfter: 1500 * time.Microsecond}
	outcomeUnknown := &sharedata.StoreError{Operation: "append", Err: errors.New(secret), OutcomeUnknown: true}

	for _, test := range []failureTest{
		{name: "rejected", f: fails(sharedata.Reject("not today")), code: codes.Rejected, text: "not today", recorded: true},
		{
			name: "rejected with code", f: fails(sharedata.RejectWith("too-late", "not today", map[string]int{"by": 3})),
			code: "too-late", text: "not today", details: `{"by":3}`, recorded: true,
		},
		{name: "unknown ShareData", id: "nowhere", code: codes.UnknownShareData, text: `there is no ShareData "nowhere"`},
		{name: "invalid ShareData id", id: strings.Repeat("é", 1000), code: codes.UnknownShareData, text: "there is no ShareData"},
		{name: "unknown function", code: codes.UnknownFunction, text: `has no function "f"`},
		{name: "function fails", f: fails(errors.New(secret)), code: codes.FunctionFailed, text: `function "f" failed`},
		{name: "function panics", f: func(context.Context) error { panic(secret) }, code: codes.FunctionFailed, text: `function "f" failed`},
		{
			name: "function misses its deadline", timeout: time.Millisecond,
			f: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			},
			code: codes.TimedOut, text: "took too long",
		},
		{ // what the function did elsewhere says nothing about its own proposal
			name: "function fails on another ShareData", f: fails(fmt.Errorf("%w, %w", outcomeUnknown, sharedata.ErrUnknownShareData)),
			code: codes.FunctionFailed, text: `function "f" failed`,
		},
		{
			name: "input breaks the schema", f: fails(nil), schema: `{"properties":{"by":{"type":"integer"}}}`, data: `{"by":"x"}`,
			code: codes.InvalidInput, text: "/by", details: `{"pointer":"/by"}`,
		},
		{
			name: "no proof", manager: sharedata.Options{
				ProofVerifier: acceptAll{}, RequireProof: func(_, functionID string) bool { return functionID == "f" },
			},
			f: fails(nil), code: codes.ProofRequired, text: `function "f" of ShareData "c" requires a proof`,
		},
		{name: "proposing is off", options: realtime.Options{Resolver: sharedata.ResolveNone}, code: codes.ProposingDisabled, text: "propose is not enabled on this server"},
		{name: "resolver finds nothing", options: resolver(func() error { return nil }), f: fails(nil), code: codes.UnknownFunction, text: `has no function "f"`},
		{name: "resolver fails", options: resolver(func() error { return errors.New(secret) }), code: codes.InternalError, text: "could not be evaluated"},
		{name: "resolver panics", options: resolver(func() error { panic(secret) }), code: codes.UnknownFunction, text: `has no function "f"`},
		{name: "unauthorized", options: refuses(errors.New(secret)), f: fails(nil), code: codes.Unauthorized, text: `not allowed to run "f" on "c"`},
		{name: "refused", options: refuses(fmt.Errorf(secret+": %w", tooLow)), f: fails(nil), code: "plan-too-low", text: "upgrade your plan", retry: 2},
		{name: "refused with nothing", options: refuses(&realtime.Refusal{}), f: fails(nil), code: codes.Unauthorized, text: `not allowed to run "f" on "c"`},
		{
			name: "authorizer panics", f: fails(nil), code: codes.Unauthorized, text: "not allowed",
			options: realtime.Options{AuthorizePropose: func(context.Context, *sharedata.Caller, string, string) error { panic(secret) }},
		},
		{
			name: "busy", manager: sharedata.Options{MaxWaiting: 1}, f: fails(nil), code: codes.Busy, text: "propose again later", retry: 100,
			before: func(ts *testServer, _ *failingStore, p *peer) {
				// One is evaluated and one waits. How many of the three are too many
				// depends on when the first is taken from the queue.
				p.propose("c", "slow", "null", "mine")
				p.propose("c", "slow", "null", "mine")
			},
		},
		{
			name: "rate-limited", options: realtime.Options{MaxProposalsInFlight: 1}, f: fails(nil), code: codes.RateLimited, text: "limit: 1 ", retry: 100,
			before: func(ts *testServer, _ *failingStore, p *peer) { p.propose("c", "slow", "null", "other") },
		},
		{
			name: "store fails before the append", id: "elsewhere", code: codes.Unavailable, text: "nothing was changed", retry: 1000,
			before: func(_ *testServer, store *failingStore, _ *peer) { store.failLoad.Store(true) },
		},
		{
			name: "store fails during the append", f: fails(nil), code: codes.OutcomeUnknown, text: "with the same idempotencyKey",
			before: func(_ *testServer, store *failingStore, _ *peer) { store.failAppend.Store(true) },
		},
		{
			name: "manager is closed", f: fails(nil), code: codes.ShuttingDown, text: "propose again on a new connection", retry: 1000,
			before: func(ts *testServer, _ *failingStore, _ *peer) { ts.manager.Close() },
		},
	} {
		t.Run(test.name, test.run)
	}
}

func (test *failureTest) run(t *testing.T) {
	store := newFailingStore(t, nil)
	test.manager.Store = store
	ts := newTestServer(t, test.manager, &test.options)
	ts.listen()
	slow, unblock := blockingFunction("slow")
	defer unblock()
	functions := []*sharedata.Function{slow}
	if test.f != nil {
		f := sharedata.NewFunction("f", func(ctx context.Context, c counter, _ any) (counter, error) { return c, test.f(ctx) })
		f = f.WithTimeout(test.timeout)
		if test.schema != "" {
			f = f.WithInputSchema(test.schema)
		}
		functions = append(functions, f)
	}
	ts.create("c", functions...)
	p := ts.dial()
	if test.before != nil {
		test.before(ts, store, p)
	}
	message := &wire.Propose{
		ShareDataID: "c", FunctionID: "f", ProposedData: []byte("null"), CorrelationID: "mine",
	}
	if test.id != "" {
		message.ShareDataID = test.id
	}
	if test.data != "" {
		message.ProposedData = []byte(test.data)
	}
	p.send("%s", message.AppendTo(nil))
	r := want[*wire.ProposalResult](p)
	text := string(r.AppendTo(nil))
	if r.Accepted || (r.TransactionID != "") != test.recorded || r.CorrelationID != "mine" {
		t.Errorf("got %s", text)
	}
	if r.Code != test.code || string(r.Details) != test.details || r.RetryAfterMs != test.retry {
		t.Errorf("got %s, want code %q, details %q and retryAfterMs %d", text, test.code, test.details, test.retry)
	}
	if !strings.Contains(r.Error, test.text) || strings.Contains(text, secret) {
		t.Errorf("error %q should say %q and no secrets", r.Error, test.text)
	}
	p.ping("the connection stays open")
	for m := must(p); ; m = must(p) {
		if _, ok := m.(*wire.Pong); ok {
			break
		}
		if further, ok := m.(*wire.ProposalResult); !ok || further.Code != test.code {
			t.Fatalf("got %s", m.AppendTo(nil))
		}
	}
	if at, err := ts.manager.Get(t.Context(), "c"); err == nil && (at.Cursor.Revision > 1) != test.recorded {
		t.Errorf("the history is at %v", at.Cursor)
	}
}

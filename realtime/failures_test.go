package realtime_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

const secret = "password of the database"

// TestProposeFailures has every way in which a
// proposal comes to no verdict.
func TestProposeFailures(t *testing.T) {
	functionOf := func(f func(context.Context) error) *sharedata.Function {
		return sharedata.NewFunction("f", func(ctx context.Context, c counter, _ any) (counter, error) { return c, f(ctx) })
	}
	for _, test := range []struct {
		name     string
		options  realtime.Options
		function *sharedata.Function
		id, data string
		text     string
	}{
		{name: "unknown ShareData", id: "nowhere", text: `there is no ShareData "nowhere"`},
		{name: "unknown function", text: `has no function "f"`},
		{name: "function errs", function: functionOf(func(context.Context) error { return errors.New(secret) }), text: `function "f" failed`},
		{name: "function panics", function: functionOf(func(context.Context) error { panic(secret) }), text: `function "f" failed`},
		{
			name: "function takes too long",
			function: functionOf(func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}).WithTimeout(time.Millisecond),
			text: "took too long",
		},
		{
			name:     "data break the schema",
			function: functionOf(func(context.Context) error { return nil }).WithInputSchema(`{"properties":{"by":{"type":"integer"}}}`),
			data:     `{"by":"x"}`, text: "/by",
		},
		{name: "proposing is off", options: realtime.Options{Resolver: sharedata.ResolveNone}, text: "propose is not enabled on this server"},
		{
			name: "resolver finds nothing",
			options: realtime.Options{Resolver: func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
				return nil, nil
			}},
			function: functionOf(func(context.Context) error { return nil }), text: `has no function "f"`,
		},
		{
			name: "resolver errs",
			options: realtime.Options{Resolver: func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
				return nil, errors.New(secret)
			}},
			text: "could not be judged",
		},
		{
			name: "resolver panics",
			options: realtime.Options{Resolver: func(context.Context, string, string, sharedata.Functions) (*sharedata.Function, error) {
				panic(secret)
			}},
			text: `has no function "f"`,
		},
		{
			name: "not authorized",
			options: realtime.Options{AuthorizePropose: func(context.Context, *sharedata.Caller, string, string) error {
				return errors.New(secret)
			}},
			function: functionOf(func(context.Context) error { return nil }),
			text:     `unauthorized-propose: not allowed to run "f" on "c"`,
		},
		{
			name: "authorizer panics",
			options: realtime.Options{AuthorizePropose: func(context.Context, *sharedata.Caller, string, string) error {
				panic(secret)
			}},
			function: functionOf(func(context.Context) error { return nil }),
			text:     "unauthorized-propose",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			ts := serve(t, &test.options)
			if test.function != nil {
				ts.create("c", test.function)
			} else {
				ts.create("c")
			}
			p := ts.dial()
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
			if !strings.Contains(r.Error, test.text) || strings.Contains(r.Error, secret) {
				t.Errorf("error %q should say %q and no secrets", r.Error, test.text)
			}
			p.wantPong("open")
			if got := ts.cursor("c").Revision; got != 1 {
				t.Errorf("the history has %d entries, want 1", got)
			}
		})
	}
}

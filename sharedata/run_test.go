package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// Run gives the same outcome as a proposal to a manager, for every kind of error.
func TestRun_LikePropose(t *testing.T) {
	strict := add.WithStrictInput()
	withSchema := add.WithInputSchema(`{"required": ["by"]}`)
	failing := func(err error) *sharedata.Function {
		return sharedata.NewFunction("f", func(context.Context, any, any) (any, error) { return nil, err })
	}
	panicking := sharedata.NewFunction("f", func(context.Context, any, any) (any, error) { panic("no") })
	for _, test := range []struct {
		name        string
		f           *sharedata.Function
		state, data any
		want        string // the new state; empty where an error is wanted
		wantErr     error
		wantType    any // for errors.As
	}{
		{name: "accepted", f: add, state: Counter{1}, data: Add{2}, want: `{"value":3}`},
		{name: "accepted as raw JSON", f: add, state: rawJSON(`{"value":1}`), data: rawJSON(`{"by":2}`), want: `{"value":3}`},
		{name: "rejected", f: add, state: Counter{1}, data: Add{-2}, wantType: new(*sharedata.Rejection)},
		{name: "rejected by the zero state", f: add, data: Add{-2}, wantType: new(*sharedata.Rejection)},
		{name: "input of another type", f: add, state: Counter{1}, data: "x", wantErr: sharedata.ErrInvalidInput, wantType: new(*sharedata.InputError)},
		{name: "input that breaks the schema", f: withSchema, state: Counter{1}, data: rawJSON(`{}`), wantErr: sharedata.ErrInvalidInput, wantType: new(*sharedata.InputError)},
		{name: "input with an unknown member", f: strict, state: Counter{1}, data: rawJSON(`{"bye":1}`), wantErr: sharedata.ErrInvalidInput, wantType: new(*sharedata.InputError)},
		{name: "input that is not JSON", f: add, state: Counter{1}, data: rawJSON(`{`), wantErr: sharedata.ErrInvalidInput, wantType: new(*sharedata.InputError)},
		{name: "input that is not marshalled", f: add, state: Counter{1}, data: math.Inf(1), wantErr: sharedata.ErrInvalidInput, wantType: new(*sharedata.InputError)},
		{name: "a state of another type", f: add, state: "x", data: Add{2}, wantErr: sharedata.ErrInvalidState, wantType: new(*sharedata.FunctionError)},
		{name: "an error", f: failing(errBroken), wantErr: errBroken, wantType: new(*sharedata.FunctionError)},
		{name: "a panic", f: panicking, wantErr: sharedata.ErrFunctionPanicked, wantType: new(*sharedata.FunctionError)},
		{name: "a bad schema", f: add.WithInputSchema(`{`), wantErr: sharedata.ErrInvalidFunction},
		{name: "a bad timeout", f: add.WithTimeout(-2), wantErr: sharedata.ErrInvalidFunction},
		{name: "a state that is not JSON", f: add, state: rawJSON(`{`), wantErr: sharedata.ErrInvalidState},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.f.Run(t.Context(), test.state, test.data)
			check := func(err error) {
				t.Helper()
				if (err == nil) != (test.want != "") || !errors.Is(err, test.wantErr) && test.wantErr != nil ||
					test.wantType != nil && !errors.As(err, test.wantType) {
					t.Errorf("got %v (%T), want %v, %T", err, err, test.wantErr, test.wantType)
				}
			}
			if check(err); string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			m := newManager(t, nil)
			if _, err := m.Create(t.Context(), "x", test.state, test.f); err != nil {
				check(err)
				return
			}
			verdict, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: test.f.ID(), Data: test.data})
			if err == nil && !verdict.Accepted {
				err = &sharedata.Rejection{Reason: verdict.Reason}
			}
			check(err)
			if test.want != "" {
				wantState(t, m, "x", test.want)
			}
		})
	}
}

func TestRun_Deadline(t *testing.T) {
	blocks := sharedata.NewFunction("f", func(ctx context.Context, s, _ int) (int, error) {
		<-ctx.Done()
		return s, ctx.Err()
	})
	for name, test := range map[string]struct {
		f    *sharedata.Function
		want time.Duration
	}{
		"the default":           {blocks, 5 * time.Second},
		"its own":               {blocks.WithTimeout(time.Minute), time.Minute},
		"none, so the caller's": {blocks.WithTimeout(-1), time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begin := time.Now()
				_, err := test.f.Run(ctx, 0, 0)
				var failed *sharedata.FunctionError
				if !errors.As(err, &failed) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took != test.want {
					t.Errorf("it took %v, want %v", took, test.want)
				}
			})
		})
	}
}

func TestRun_Context(t *testing.T) {
	var caller *sharedata.Caller
	f := sharedata.NewRawFunction("f", func(ctx context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
		caller = sharedata.CallerFrom(ctx)
		return state, nil
	})
	ann := &sharedata.Caller{Subject: "ann"}
	if _, err := f.Run(sharedata.WithCaller(t.Context(), ann), 0, 0); err != nil || caller != ann {
		t.Errorf("caller %+v, %v", caller, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Run(ended, 0, 0); err != context.Canceled {
		t.Errorf("with a context that has ended: %v", err)
	}
}

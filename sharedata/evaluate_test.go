package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/testlog"
)

var quiet = slog.New(slog.DiscardHandler)

func raw(f func(ctx context.Context, state, input json.RawMessage) (json.RawMessage, error)) *Function {
	return NewRawFunction("f", f)
}

func TestEvaluate_Deadline(t *testing.T) {
	for _, test := range []struct {
		name     string
		manager  time.Duration
		function time.Duration
		want     time.Duration // 0: none
	}{
		{"the manager's", 5 * time.Second, 0, 5 * time.Second},
		{"its own, shorter", 5 * time.Second, time.Second, time.Second},
		{"its own, longer", 5 * time.Second, time.Minute, time.Minute},
		{"its own is none", 5 * time.Second, -1, 0},
		{"the manager's is none", -1, 0, 0},
		{"its own where the manager has none", -1, time.Second, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				want := test.want
				if want == 0 {
					want = time.Hour
				}
				begin := time.Now()
				f := raw(func(ctx context.Context, _, _ json.RawMessage) (json.RawMessage, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}).WithTimeout(test.function)
				_, err := evaluate(t, ctx, f, test.manager, nil, nil, quiet)
				var failed *FunctionError
				if !errors.As(err, &failed) || !errors.Is(err, context.DeadlineExceeded) || failed.FunctionID != "f" {
					t.Errorf("got %v, want a FunctionError with DeadlineExceeded", err)
				}
				if took := time.Since(begin); took != want {
					t.Errorf("it took %v, want %v", took, want)
				}
				if n := f.calls.abandoned.Load(); n > 1 {
					t.Errorf("%d runs count as abandoned", n)
				}
				synctest.Wait()
				if n := f.calls.abandoned.Load(); n != 0 {
					t.Errorf("%d runs count as abandoned though it returned", n)
				}
			})
		})
	}
}

// A function that ignores its context is abandoned at its deadline, and its later
// result is discarded.
func TestEvaluate_AbandonsAtDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log testlog.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		f := raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			time.Sleep(time.Minute)
			return json.RawMessage("1"), nil
		})
		begin := time.Now()
		state, err := evaluate(t, t.Context(), f, time.Second, nil, nil, logger)
		if state != nil || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrFunctionFailed) {
			t.Errorf("got %s, %v", state, err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %v", took)
		}
		if f.calls.abandoned.Load() != 1 || !strings.Contains(log.String(), "function was abandoned") {
			t.Errorf("%d abandoned, log: %s", f.calls.abandoned.Load(), &log)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if f.calls.abandoned.Load() != 0 {
			t.Error("it still counts as abandoned after it returned")
		}
	})
}

// Each abandoned call keeps a goroutine, so their number is bounded for all copies
// of a function together.
func TestEvaluate_MaxAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			<-release
			return json.RawMessage("1"), nil
		})
		copied := f.WithTimeout(2 * time.Second)
		for i := range maxAbandoned {
			if _, err := evaluate(t, t.Context(), f, time.Second, nil, nil, quiet); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("run %d: %v", i, err)
			}
		}
		begin := time.Now()
		for _, function := range []*Function{f, copied} {
			if _, err := evaluate(t, t.Context(), function, time.Second, nil, nil, quiet); !errors.Is(err, ErrFunctionStuck) || !errors.Is(err, ErrFunctionFailed) {
				t.Errorf("got %v, want ErrFunctionStuck", err)
			}
		}
		if time.Since(begin) != 0 {
			t.Error("a stuck function is waited for")
		}
		release <- struct{}{}
		synctest.Wait()
		if _, err := evaluate(t, t.Context(), f, time.Second, nil, nil, quiet); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after one run returned: %v, want another attempt", err)
		}
		close(release)
		synctest.Wait()
		if state, err := evaluate(t, t.Context(), f, time.Second, nil, nil, quiet); err != nil || string(state) != "1" {
			t.Errorf("after all runs returned: %s, %v", state, err)
		}
		if n := f.calls.abandoned.Load(); n != 0 {
			t.Errorf("%d runs still count as abandoned", n)
		}
	})
}

// spoiled is an error whose methods panic, such as one of a nil pointer.
type spoiled struct{ cause error }

func (e *spoiled) Error() string { return e.cause.Error() }
func (e *spoiled) Unwrap() error { return e.cause }

// A function that panics, exits its goroutine or returns an error fails its
// proposal, and the log says why.
func TestEvaluate_FunctionFails(t *testing.T) {
	for _, test := range []struct {
		name string
		f    *Function
		want error // besides ErrFunctionFailed
		log  string
	}{
		{"panic", raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			panic("out of cheese")
		}), ErrFunctionPanicked, "out of cheese"},
		{"panic with nil", raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			panic(nil)
		}), ErrFunctionPanicked, "panic called with nil argument"},
		{"panic with an error whose Error panics", raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			panic(&spoiled{})
		}), ErrFunctionPanicked, "stack"},
		{"a runtime error", raw(func(_ context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
			return state[:len(state)*100], nil
		}), ErrFunctionPanicked, "out of range"},
		{"nil function", NewRawFunction("f", nil), ErrFunctionPanicked, "nil pointer"},
		{"runtime.Goexit", raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			runtime.Goexit()
			return nil, nil
		}), errNoResult, ""},
		{"panic in MarshalJSON", NewFunction("f", func(context.Context, panicking, int) (panicking, error) {
			return panicking{}, nil
		}), ErrFunctionPanicked, "cannot be written"},
		{"panic in UnmarshalJSON", NewFunction("f", func(context.Context, int, panicking) (int, error) {
			return 0, nil
		}), ErrFunctionPanicked, "cannot be read"},
		{"an error whose Unwrap panics", raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			var e *spoiled
			return nil, e
		}), ErrFunctionPanicked, "nil pointer"},
		{"its own error", raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			return nil, errBroken
		}), errBroken, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log testlog.Buffer
			state, err := evaluate(t, t.Context(), test.f, time.Minute, json.RawMessage("1"), json.RawMessage("2"), slog.New(slog.NewTextHandler(&log, nil)))
			var failed *FunctionError
			if state != nil || !errors.As(err, &failed) || !errors.Is(err, ErrFunctionFailed) || !errors.Is(err, test.want) {
				t.Fatalf("got %s, %v, want a FunctionError with %v", state, err, test.want)
			}
			if err.Error() == "" {
				t.Error("the error says nothing")
			}
			switch text := log.String(); {
			case test.log == "" && !strings.Contains(text, "function failed"):
				t.Errorf("it is not in the log: %s", text)
			case !strings.Contains(text, test.log):
				t.Errorf("%q is not in the log: %s", test.log, text)
			case test.log != "" && !strings.Contains(text, "evaluate.go"):
				t.Errorf("the log has no stack: %s", text)
			}
		})
	}
}

type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("cannot be written") }

func (p *panicking) UnmarshalJSON(data []byte) error {
	if string(data) == "2" { // the input, not the state
		panic("cannot be read")
	}
	return nil
}

func TestEvaluate_WrappedRejection(t *testing.T) {
	f := raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage("1"), errors.Join(errBroken, Rejectf("use at most %d", 3))
	})
	state, err := evaluate(t, t.Context(), f, time.Minute, nil, nil, quiet)
	if r, ok := err.(*Rejection); !ok || r.Reason != "use at most 3" || state != nil {
		t.Errorf("got %s, %v", state, err)
	}
}

// The function may return at the moment at which it is abandoned. Either way it is
// counted once.
func TestEvaluate_ReturnsAtDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := raw(func(_ context.Context, _, input json.RawMessage) (json.RawMessage, error) {
			time.Sleep(time.Second)
			return input, nil
		})
		late := 0
		for range 500 {
			state, err := evaluate(t, t.Context(), f, time.Second, nil, json.RawMessage("1"), quiet)
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				late++
			case err != nil || string(state) != "1":
				t.Fatalf("got %s, %v", state, err)
			}
			synctest.Wait()
			if n := f.calls.abandoned.Load(); n != 0 {
				t.Fatalf("%d runs count as abandoned", n)
			}
		}
		t.Logf("%d of 500 were late", late)
	})
}

// A proposer who gives up does not abandon the function. A client that proposes and
// leaves, again and again, would make the function stuck for everybody.
func TestEvaluate_ProposerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := raw(func(ctx context.Context, _, input json.RawMessage) (json.RawMessage, error) {
			time.Sleep(time.Second)
			return input, context.Cause(ctx)
		})
		begin := time.Now()
		for i := range 2 * maxAbandoned {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := evaluate(t, ctx, f, 5*time.Second, nil, nil, quiet); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("run %d: %v", i, err)
			}
			if n := f.calls.abandoned.Load(); n != 0 {
				t.Fatalf("run %d: %d runs go on", i, n)
			}
		}
		if took := time.Since(begin); took != 2*maxAbandoned*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// evaluate proposes to the function on a ShareData with the state, and returns the
// state after it, or why there is none.
func evaluate(t *testing.T, ctx context.Context, f *Function, timeout time.Duration, state, data json.RawMessage, logger *slog.Logger) (json.RawMessage, error) {
	t.Helper()
	m := newManagerWith(t, &Options{FunctionTimeout: timeout, Logger: logger})
	defer m.Close()
	if state == nil {
		state = json.RawMessage("null")
	}
	if data == nil {
		data = json.RawMessage("null")
	}
	if _, err := m.Create(t.Context(), "n", state); err != nil {
		t.Fatal(err)
	}
	type reply struct {
		verdict Verdict
		err     error
	}
	replied := make(chan reply, 1)
	m.Submit(ctx, Proposal{ShareDataID: "n", Function: f, Data: data}, func(v Verdict, err error) { replied <- reply{v, err} })
	r := <-replied
	switch {
	case r.err != nil:
		return nil, r.err
	case !r.verdict.Accepted:
		return nil, &Rejection{Code: r.verdict.Code, Reason: r.verdict.Reason, Details: r.verdict.Details}
	}
	at, err := m.Get(t.Context(), "n")
	return at.State, err
}

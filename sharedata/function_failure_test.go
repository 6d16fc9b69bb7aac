package sharedata_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/sharedata"
)

func TestFunction_Deadline(t *testing.T) {
	blocks := sharedata.NewFunction("f", func(ctx context.Context, s, _ int) (int, error) {
		<-ctx.Done()
		return s, ctx.Err()
	})
	for _, test := range []struct {
		name    string
		options sharedata.Options
		f       *sharedata.Function
		want    time.Duration
	}{
		{"by default 5 s", sharedata.Options{}, blocks, 5 * time.Second},
		{"the option", sharedata.Options{FunctionTimeout: time.Minute}, blocks, time.Minute},
		{"its own", sharedata.Options{FunctionTimeout: time.Minute}, blocks.WithTimeout(time.Second), time.Second},
		{"switched off, the caller's", sharedata.Options{FunctionTimeout: -1}, blocks, time.Hour},
		{"its own switched off, the caller's", sharedata.Options{}, blocks.WithTimeout(-1), time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager(t, &test.options)
				if _, err := m.Create(t.Context(), "x", 0, test.f, add); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begin := time.Now()
				_, err := m.Propose(ctx, sharedata.Proposal{ShareDataID: "x", FunctionID: "f"})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took != test.want {
					t.Errorf("it took %v, want %v", took, test.want)
				}
				wantHistory(t, m, "x", "1 created")
			})
		})
	}
}

func TestFunction_StuckIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("loop", g))
		begin := time.Now()
		_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "loop", Data: Add{100}})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sharedata.ErrFunctionFailed) {
			t.Errorf("got %v", err)
		}
		mustAdd(t, m, "counter", 1)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		close(g.open) // its result comes too late
		synctest.Wait()
		mustAdd(t, m, "counter", 1)
		wantState(t, m, "counter", `{"value":2}`)
	})
}

func TestFunction_PanicIsLogged(t *testing.T) {
	var log strings.Builder
	f := sharedata.NewFunction("f", func(context.Context, Counter, Add) (Counter, error) { panic("the secret cause") })
	m := newCounter(t, &sharedata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, 1, f)
	_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "f"})
	var failed *sharedata.FunctionError
	if !errors.As(err, &failed) || !errors.Is(err, sharedata.ErrFunctionPanicked) || failed.FunctionID != "f" {
		t.Fatalf("got %v", err)
	}
	mustAdd(t, m, "counter", 1)
	if text := log.String(); !strings.Contains(text, "the secret cause") || !strings.Contains(text, "function_failure_test.go") {
		t.Errorf("the log has no cause and stack: %s", text)
	}
	wantHistory(t, m, "counter", "1 created", `2 add {"by":1} accepted`)
}

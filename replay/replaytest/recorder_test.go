package replaytest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// recorder is a testing.TB that notes failures instead of failing its test.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	skipped  bool
	cleanups []func()
}

// record runs a check and returns what it reported.
func record(t *testing.T, check check, harness Harness) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	r.run(func() { check.run(newFixture(r, harness)) })
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.run(r.cleanups[i])
	}
	return r
}

// run calls do to its end, or to where it ends the test.
func (r *recorder) run(do func()) {
	var wait sync.WaitGroup
	wait.Go(do)
	wait.Wait()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprintln(args...)) }
func (r *recorder) Fail()             { r.Errorf("failed") }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprintln(args...)) }
func (r *recorder) FailNow()          { r.Fatalf("failed now") }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) SkipNow() {
	r.skipped = true
	runtime.Goexit()
}

func (r *recorder) Skip(...any)            { r.SkipNow() }
func (r *recorder) Skipf(string, ...any)   { r.SkipNow() }
func (r *recorder) Skipped() bool          { return r.skipped }
func (r *recorder) Cleanup(cleanup func()) { r.cleanups = append(r.cleanups, cleanup) }
func (r *recorder) Log(...any)             {}
func (r *recorder) Logf(string, ...any)    {}
func (r *recorder) Helper()                {}

func TestRecorder(t *testing.T) {
	tests := []struct {
		name     string
		run      func(f *fixture)
		failures string
		skipped  bool
	}{
		{name: "nothing", run: func(*fixture) {}},
		{name: "errors", run: func(f *fixture) { f.Errorf("a %d", 1); f.Error("b") }, failures: "a 1|b\n"},
		{name: "fatal", run: func(f *fixture) { f.Fatalf("a"); f.Errorf("not reached") }, failures: "a"},
		{name: "skip", run: func(f *fixture) { f.Skipf("a"); f.Errorf("not reached") }, skipped: true},
		{name: "cleanup", run: func(f *fixture) {
			f.Cleanup(func() { f.Errorf("last") })
			f.Cleanup(func() { f.Fatalf("first") })
		}, failures: "first|last"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := record(t, check{test.name, test.run}, Harness{})
			if got := strings.Join(r.failures, "|"); got != test.failures || r.skipped != test.skipped {
				t.Errorf("recorded %q, skipped %t; want %q, %t", got, r.skipped, test.failures, test.skipped)
			}
		})
	}
}

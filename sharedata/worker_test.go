package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// countWorkers counts the goroutines that run for ShareData or wait for one.
func countWorkers() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "sharedata.(*workers).work(")
}

// newWaiting returns a manager with n ShareData "0", "1", …, and a function that waits
// until it is released, whatever its deadline.
func newWaiting(t *testing.T, n int, timeout time.Duration) (m *Manager, waits *Function, release chan struct{}) {
	t.Helper()
	m = newManagerWith(t, &Options{FunctionTimeout: timeout})
	release = make(chan struct{})
	for i := range n {
		if _, err := m.Create(t.Context(), fmt.Sprint(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	return m, raw(func(_ context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
		<-release
		return state, nil
	}), release
}

// However many ShareData were busy at once, few goroutines wait for the next one, and
// Close ends them.
func TestWorkers_ParkedAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5 * maxParked
		m, waits, release := newWaiting(t, n, -1)
		for range 3 {
			replied := make(chan error, n)
			for i := range n {
				m.Submit(t.Context(), Proposal{ShareDataID: fmt.Sprint(i), Function: waits}, func(_ Verdict, err error) { replied <- err })
			}
			synctest.Wait()
			if running := countWorkers(); running < n {
				t.Errorf("%d goroutines run, want one for each of %d ShareData", running, n)
			}
			for range n {
				release <- struct{}{}
			}
			synctest.Wait()
			for range n {
				if err := <-replied; err != nil {
					t.Error(err)
				}
			}
			if parked := countWorkers(); parked != maxParked || int(m.workers.parkedCount.Load()) != parked {
				t.Errorf("%d goroutines wait, %d are counted, want %d", parked, m.workers.parkedCount.Load(), maxParked)
			}
		}
		m.Close()
		synctest.Wait()
		if left := countWorkers(); left != 0 {
			t.Errorf("%d goroutines are left after Close", left)
		}
	})
}

// A goroutine that was replaced ends when its function returns, before Close or after.
func TestWorkers_ReplacedEnds(t *testing.T) {
	for _, closed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const n = 5
			m, waits, release := newWaiting(t, n, time.Second)
			for i := range n {
				_, err := m.Propose(t.Context(), Proposal{ShareDataID: fmt.Sprint(i), Function: waits})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			want := n + int(m.workers.parkedCount.Load()) // those that are abandoned, and those that took over and wait now
			if closed {
				m.Close()
				want = n
			}
			synctest.Wait()
			if running := countWorkers(); running != want {
				t.Errorf("closed %t: %d goroutines while the functions run, want %d", closed, running, want)
			}
			close(release)
			synctest.Wait()
			if running := countWorkers(); running != want-n {
				t.Errorf("closed %t: %d goroutines after the functions returned, want %d", closed, running, want-n)
			}
		})
	}
}

// Close waits for the function that is in time, not for the one that was abandoned.
func TestWorkers_CloseWhileAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, waits, release := newWaiting(t, 1, time.Second)
		replied := make(chan error, 2)
		submit := func(f *Function) {
			m.Submit(t.Context(), Proposal{ShareDataID: "0", Function: f}, func(_ Verdict, err error) { replied <- err })
		}
		submit(waits)
		time.Sleep(time.Second)
		synctest.Wait()
		if err := <-replied; !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		submit(raw(func(_ context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
			time.Sleep(time.Second / 2)
			return state, nil
		}))
		synctest.Wait()
		begin := time.Now()
		m.Close()
		if took := time.Since(begin); took != time.Second/2 {
			t.Errorf("Close took %v", took)
		}
		if len(replied) != 1 {
			t.Error("the proposal that was evaluated has no reply")
		} else if err := <-replied; err != nil {
			t.Error(err)
		}
		close(release)
	})
}

// A function that ends its goroutine leaves the ShareData to another one, whether or
// not its deadline was over.
func TestWorkers_Goexit(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m, _, _ := newWaiting(t, 1, time.Second)
			exits := raw(func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
				if late {
					time.Sleep(time.Minute)
				}
				runtime.Goexit()
				return nil, nil
			})
			want := errNoResult
			if late {
				want = context.DeadlineExceeded
			}
			for i := range 2 * maxAbandoned {
				if _, err := m.Propose(t.Context(), Proposal{ShareDataID: "0", Function: exits}); !errors.Is(err, want) {
					t.Fatalf("late %t, run %d: %v, want %v", late, i, err, want)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := exits.calls.abandoned.Load(); n != 0 {
					t.Fatalf("late %t: %d runs count as abandoned", late, n)
				}
			}
			if running := countWorkers(); running != int(m.workers.parkedCount.Load()) {
				t.Errorf("late %t: %d goroutines, of which %d wait", late, running, m.workers.parkedCount.Load())
			}
			if v, err := m.Propose(t.Context(), Proposal{ShareDataID: "0", Function: increment}); err != nil || !v.Accepted {
				t.Errorf("late %t: the next proposal: %+v, %v", late, v, err)
			}
		})
	}
}

package sharedata

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type contextKey struct{}

// contextState is what a context says about itself.
type contextState struct {
	err, cause  error
	done        bool
	deadline    time.Time
	hasDeadline bool
	value       any
}

func stateOf(ctx context.Context, askDone bool) (s contextState) {
	s.err, s.cause = ctx.Err(), context.Cause(ctx)
	if askDone {
		select {
		case <-ctx.Done():
			s.done = true
		default:
		}
	}
	s.deadline, s.hasDeadline = ctx.Deadline()
	s.value = ctx.Value(contextKey{})
	return s
}

// A deadlineContext behaves like the one of context.WithDeadline, whether or not
// Done was asked for before the end.
func TestDeadlineContext_LikeContext(t *testing.T) {
	errCause := errors.New("cause")
	for _, test := range []struct {
		name     string
		deadline time.Duration // 0: none
		parent   func(ctx context.Context) (context.Context, func())
		then     func(cancelParent, cancel func())
		// twice says that the context ends a second time. The first end is the one
		// that counts if anybody asked for Done before; the cause of context.Cause
		// may be the parent's.
		twice bool
	}{
		{"live", time.Minute, nil, func(func(), func()) {}, false},
		{"no deadline", 0, nil, func(func(), func()) {}, false},
		{"expired", time.Second, nil, func(func(), func()) { time.Sleep(time.Second) }, false},
		{"cancelled", time.Minute, nil, func(_, cancel func()) { cancel() }, false},
		{"cancelled, then expired", time.Second, nil, func(_, cancel func()) { cancel(); time.Sleep(time.Minute) }, false},
		{"expired, then cancelled", time.Second, nil, func(_, cancel func()) { time.Sleep(time.Minute); cancel() }, true},
		{"parent cancelled", time.Minute, nil, func(cancelParent, _ func()) { cancelParent() }, false},
		{"parent cancelled, no deadline", 0, nil, func(cancelParent, _ func()) { cancelParent() }, false},
		{"expired, then the parent cancelled", time.Second, nil, func(cancelParent, _ func()) { time.Sleep(time.Minute); cancelParent() }, true},
		{"parent cancelled with a cause", time.Minute, func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(errCause) }
		}, func(cancelParent, _ func()) { cancelParent() }, false},
		{"parent with an earlier deadline", time.Minute, func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeout(ctx, time.Second)
		}, func(func(), func()) { time.Sleep(2 * time.Second) }, false},
		{"parent with a later deadline", time.Second, func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeout(ctx, time.Minute)
		}, func(func(), func()) { time.Sleep(2 * time.Second) }, false},
		{"parent with a deadline, none of its own", 0, func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeout(ctx, time.Second)
		}, func(func(), func()) { time.Sleep(2 * time.Second) }, false},
	} {
		for _, early := range []bool{test.twice, true} { // ask for Done before the end
			t.Run(test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent := test.parent
					if parent == nil {
						parent = func(ctx context.Context) (context.Context, func()) { return context.WithCancel(ctx) }
					}
					run := func(wrap func(context.Context, time.Duration) (context.Context, func())) contextState {
						ctx, cancelParent := parent(context.WithValue(t.Context(), contextKey{}, "value"))
						defer cancelParent()
						begin := time.Now()
						c, cancel := wrap(ctx, test.deadline)
						defer cancel()
						stateOf(c, early)
						test.then(cancelParent, cancel)
						synctest.Wait()
						s := stateOf(c, true)
						if again := stateOf(c, true); again != s {
							t.Errorf("%+v, asked again %+v", s, again)
						}
						if test.twice {
							s.cause = nil
						}
						if s.hasDeadline {
							s.deadline = time.Time{}.Add(s.deadline.Sub(begin))
						}
						return s
					}
					got := run(func(ctx context.Context, d time.Duration) (context.Context, func()) {
						var at time.Time
						if d > 0 {
							at = time.Now().Add(d)
						}
						c := newDeadlineContext(ctx, at)
						return c, c.cancel
					})
					want := run(func(ctx context.Context, d time.Duration) (context.Context, func()) {
						if d == 0 {
							return context.WithCancel(ctx)
						}
						return context.WithTimeout(ctx, d)
					})
					if got != want {
						t.Errorf("got\n%+v, context.WithDeadline gives\n%+v", got, want)
					}
				})
			})
		}
	}
}

// Those that wait for Done are woken, also where Err notices the end first. A derived
// context ends too.
func TestDeadlineContext_WakesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var parent context.Context
		var cancelParent context.CancelFunc
		for name, end := range map[string]func(c *deadlineContext){
			"deadline": func(*deadlineContext) { time.Sleep(time.Minute) },
			"cancel":   func(c *deadlineContext) { c.cancel() },
			"parent":   func(*deadlineContext) { cancelParent() },
			"Err":      func(c *deadlineContext) { cancelParent(); _ = c.Err() },
		} {
			parent, cancelParent = context.WithCancel(t.Context())
			c := newDeadlineContext(parent, time.Now().Add(time.Minute))
			derived, cancelDerived := context.WithCancel(c)
			woken := make(chan error, 2)
			go func() { <-c.Done(); woken <- c.Err() }()
			go func() { <-derived.Done(); woken <- derived.Err() }()
			synctest.Wait()
			end(c)
			synctest.Wait()
			if len(woken) != 2 {
				t.Errorf("%s: %d of 2 were woken", name, len(woken))
			}
			for range len(woken) {
				if err := <-woken; err != c.Err() {
					t.Errorf("%s: a waiter got %v, want %v", name, err, c.Err())
				}
			}
			cancelDerived()
			c.cancel()
			cancelParent()
		}
	})
}

// cancel frees the timer and what is registered with the parent.
func TestDeadlineContext_CancelFrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancelParent := context.WithCancel(t.Context())
		defer cancelParent()
		c := newDeadlineContext(parent, time.Now().Add(time.Minute))
		if c.timer != nil || c.stopParent != nil {
			t.Error("a timer runs before anybody has asked for Done")
		}
		c.Done()
		c.cancel()
		if c.timer.Stop() {
			t.Error("the timer still runs")
		}
		if c.stopParent() {
			t.Error("the parent still refers to the context")
		}
	})
}

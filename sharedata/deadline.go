package sharedata

import (
	"context"
	"sync"
	"time"
)

// deadlineContext is what context.WithDeadline returns, but costs a timer and a
// channel only where somebody asks for Done. Functions and the calls of an
// in-memory store rarely do, and every proposal makes two such contexts. Where
// nobody has asked for Done, Err reports the first end that is noticed.
type deadlineContext struct {
	parent   context.Context
	deadline time.Time // zero for none

	mu         sync.Mutex
	err        error
	done       chan struct{} // nil until asked for
	timer      *time.Timer   // with done, if there is a deadline
	stopParent func() bool   // with done, if the parent can end
}

func newDeadlineContext(parent context.Context, deadline time.Time) *deadlineContext {
	return &deadlineContext{parent: parent, deadline: deadline}
}

// Deadline implements context.Context.
func (c *deadlineContext) Deadline() (time.Time, bool) {
	deadline, ok := c.parent.Deadline()
	if c.deadline.IsZero() || ok && deadline.Before(c.deadline) {
		return deadline, ok
	}
	return c.deadline, true
}

// Value implements context.Context.
func (c *deadlineContext) Value(key any) any { return c.parent.Value(key) }

// Err implements context.Context.
func (c *deadlineContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		if err := c.parent.Err(); err != nil {
			c.endLocked(err)
		} else if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
			c.endLocked(context.DeadlineExceeded)
		}
	}
	return c.err
}

// Done implements context.Context.
func (c *deadlineContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return c.done
	}
	c.done = make(chan struct{})
	if c.err != nil {
		close(c.done)
		return c.done
	}
	if c.parent.Done() != nil {
		c.stopParent = context.AfterFunc(c.parent, func() { c.endWith(c.parent.Err()) })
	}
	if !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.endWith(context.DeadlineExceeded) })
	}
	return c.done
}

// cancel ends the context and frees what it holds.
func (c *deadlineContext) cancel() { c.endWith(context.Canceled) }

func (c *deadlineContext) endWith(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.endLocked(err)
	}
}

func (c *deadlineContext) endLocked(err error) {
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.stopParent != nil {
		c.stopParent()
	}
}

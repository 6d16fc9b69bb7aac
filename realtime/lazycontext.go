package realtime

import (
	"context"
	"sync"
	"time"
)

// lazyContext is what context.WithCancel returns, but is made of it only where somebody
// asks for Done: hooks rarely do, and each connection has two such contexts.
type lazyContext struct {
	parent context.Context

	mu         sync.Mutex
	canceled   bool
	made       context.Context // nil until asked for
	cancelMade context.CancelFunc
}

// Deadline implements context.Context.
func (c *lazyContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done implements context.Context.
func (c *lazyContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.made, c.cancelMade = context.WithCancel(c.parent)
		if c.canceled {
			c.cancelMade()
		}
	}
	return c.made.Done()
}

// Err implements context.Context.
func (c *lazyContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.made != nil:
		return c.made.Err()
	case c.canceled:
		return context.Canceled
	}
	return c.parent.Err()
}

// Value implements context.Context.
func (c *lazyContext) Value(key any) any {
	c.mu.Lock()
	from := c.made // by its own key, the package context finds it as a parent
	c.mu.Unlock()
	if from == nil {
		from = c.parent
	}
	return from.Value(key)
}

// cancel ends the context. It may be called several times.
func (c *lazyContext) cancel() {
	c.mu.Lock()
	c.canceled = true
	cancel := c.cancelMade
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

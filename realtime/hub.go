package realtime

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/safe-go/safe/sharedata"
)

// hub finds the channel of a ShareData. A channel is created for its first
// holder and stops observing the manager with its last. For the lock order see
// channel.
type hub struct {
	manager *sharedata.Manager
	ctx     context.Context // the server's
	// lease says whether commits may be handed over.
	lease *revocationLease

	// replayBytes is the size of the replayed frames that all channels keep.
	replayBytes atomic.Int64

	// files has large frames that many connections are sent.
	files frameFiles

	mu       sync.Mutex
	channels map[string]*channel
}

// acquire returns the channel of a ShareData, which release gives back. It waits
// until the manager has loaded the ShareData or the context ends. Errors are the
// manager's, sharedata.ErrUnknownShareData among them, or the context's.
func (h *hub) acquire(ctx context.Context, id string) (*channel, error) {
	h.mu.Lock()
	c, found := h.channels[id]
	if !found {
		c = newChannel(h, id)
		h.channels[id] = c
	}
	c.holders++
	h.mu.Unlock()
	if !found {
		h.open(c)
	}
	if !c.isOpened() {
		select {
		case <-c.opened:
		case <-ctx.Done(): // which makes the context allocate
			h.release(c)
			return nil, ctx.Err()
		}
	}
	if c.err != nil {
		h.release(c)
		return nil, c.err
	}
	return c, nil
}

// isOpened reports whether opened is closed.
func (c *channel) isOpened() bool {
	select {
	case <-c.opened:
		return true
	default:
		return false
	}
}

// open makes the channel observe the manager. It uses the server's context,
// because other connections wait for the same channel.
func (h *hub) open(c *channel) {
	at, stop, err := h.manager.Observe(h.ctx, c.id, c)
	if err == nil && !h.lease.wasValidAt(h.manager.KnownSince(c.id)) { // the snapshot may be newer than a revocation
		if err = h.lease.ensureValid(h.ctx); err != nil {
			stop()
		}
	}
	if err != nil {
		c.err = err
		h.drop(c)
		c.fail()
	} else {
		c.stop = stop
		c.attach(at)
	}
	close(c.opened)
}

// holdResult holds the result of a proposal for a session that has no subscription, while
// the channel holds commits: who has a result must not be sent an older state
// afterwards. It returns false if nothing is held.
func (h *hub) holdResult(s *session, id string, f *frame) bool {
	if !h.lease.shared {
		return false
	}
	h.mu.Lock()
	c := h.channels[id]
	h.mu.Unlock()
	return c != nil && c.holdResult(s, f)
}

// release gives back a channel that acquire returned.
func (h *hub) release(c *channel) {
	h.mu.Lock()
	c.holders--
	last := c.holders == 0
	if last && h.channels[c.id] == c {
		delete(h.channels, c.id)
	}
	h.mu.Unlock()
	if last {
		c.replays.close()
	}
	if last && c.stop != nil {
		c.stop()
	}
}

// drop makes acquire find the channel no more.
func (h *hub) drop(c *channel) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.channels[c.id] == c {
		delete(h.channels, c.id)
	}
}

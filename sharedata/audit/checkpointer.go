package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/safe-go/safe/internal/option"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// CheckpointerOptions configures a Checkpointer. Signer and Sink are required. For
// numbers and durations 0 is the default.
type CheckpointerOptions struct {
	// Signer signs the checkpoints.
	Signer *Signer
	// Sink is given each checkpoint, one after the other. It should bring it to where
	// those who can change the store cannot change it: to a third party, or to a file
	// that can only be appended to. If it fails, the checkpoint of the newest entry is
	// signed and given to it after the next Interval.
	Sink func(context.Context, Checkpoint) error
	// Interval is the time from one round to the next. Entries at the end that are newer
	// than the last round can be cut off unnoticed. Default: 1 minute.
	Interval time.Duration
	// SinkTimeout bounds each call of Sink, and all of the last round. Default: 10 s.
	SinkTimeout time.Duration
	// IDs are the ShareData of which checkpoints are signed. Default: all.
	IDs []string
	// SkipExisting leaves out the ShareData that have not changed since Run was called.
	// Default: the first round signs all, because an earlier process may have ended
	// before it signed its last changes.
	SkipExisting bool
	// MaxPending is how many changed ShareData are remembered between two rounds, about
	// 200 bytes each. If more have changed, the next round signs all that exist.
	// Default: 65,536.
	MaxPending int
	// Logger gets failures of Sink and of the store, once in a round. Default: none.
	Logger *slog.Logger
}

// Checkpointer signs checkpoints of what has changed, periodically. It sees what its
// manager commits; where several processes share a store, run one in each. It has no
// timer or goroutine for a ShareData.
type Checkpointer struct {
	manager *sharedata.Manager
	options CheckpointerOptions
	ids     map[string]bool // nil: all

	mu      sync.Mutex
	changed map[string]head // since the last round
	scan    bool            // the next round signs all that exist
}

// head is the newest entry of a ShareData. The hash is zero if it is not known.
type head struct {
	cursor replay.Cursor
	hash   sharedata.Hash
}

// NewCheckpointer returns a checkpointer, which does nothing before Run.
func NewCheckpointer(manager *sharedata.Manager, options *CheckpointerOptions) (*Checkpointer, error) {
	c := &Checkpointer{manager: manager, changed: make(map[string]head)}
	if options != nil {
		c.options = *options
	}
	if c.options.Signer == nil || c.options.Sink == nil {
		return nil, errors.New("audit: set CheckpointerOptions.Signer and Sink")
	}
	if c.options.Logger == nil {
		c.options.Logger = slog.New(slog.DiscardHandler)
	}
	if c.options.IDs != nil {
		c.ids = make(map[string]bool, len(c.options.IDs))
		for _, id := range c.options.IDs {
			c.ids[id] = true
		}
	}
	c.scan = !c.options.SkipExisting
	return c, errors.Join(
		option.FillPositive("audit: CheckpointerOptions.Interval", &c.options.Interval, time.Minute),
		option.FillPositive("audit: CheckpointerOptions.SinkTimeout", &c.options.SinkTimeout, 10*time.Second),
		option.FillPositive("audit: CheckpointerOptions.MaxPending", &c.options.MaxPending, 1<<16),
	)
}

// Run signs until the context ends, and then what has changed since the last round. It
// returns the context's error. Call it once.
func (c *Checkpointer) Run(ctx context.Context) error {
	stop := c.manager.ObserveAll(sharedata.ObserverFunc(c.observe))
	defer stop()
	ticker := time.NewTicker(c.options.Interval)
	defer ticker.Stop()
	for {
		c.runRound(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.SinkTimeout)
			defer cancel()
			c.runRound(last)
			return ctx.Err()
		}
	}
}

// observe remembers the newest entry of a ShareData. It is called for every commit, and
// does not block.
func (c *Checkpointer) observe(events []sharedata.Event) {
	e := events[len(events)-1]
	if e.Reset && e.Type == sharedata.EntryRemoved {
		return // the last entry is not known, and cannot be read any more
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rememberLocked(e.ShareDataID, head{e.Cursor, e.Hash})
}

// rememberLocked adds a ShareData to those of the next round.
func (c *Checkpointer) rememberLocked(id string, h head) {
	if _, there := c.changed[id]; !there && len(c.changed) >= c.options.MaxPending {
		c.scan = true
	} else if c.ids == nil || c.ids[id] {
		c.changed[id] = h
	}
}

// runRound signs the changed ShareData, and all others if scan is set.
func (c *Checkpointer) runRound(ctx context.Context) {
	c.mu.Lock()
	changed, scan := c.changed, c.scan
	c.changed, c.scan = make(map[string]head), false
	c.mu.Unlock()

	r := round{Checkpointer: c, ctx: ctx}
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		r.checkpoint(id, changed[id])
	}
	if scan {
		r.signRemaining(changed)
	}
	if r.err != nil && !errors.Is(ctx.Err(), context.Canceled) { // then the last round follows
		c.options.Logger.Error("checkpoints are not signed or not delivered", "count", r.failed, "first error", r.err)
	}
}

// round is one round of a Checkpointer.
type round struct {
	*Checkpointer
	ctx    context.Context
	failed int
	err    error // the first one
}

// signRemaining signs the heads of all ShareData except those just signed.
func (r *round) signRemaining(except map[string]head) {
	page := sharedata.ListOptions{Limit: r.options.MaxPending}
	for {
		ids, err := slices.Sorted(maps.Keys(r.ids)), error(nil)
		if r.ids == nil {
			ids, err = r.manager.List(r.ctx, &page)
		}
		for _, id := range ids {
			if _, there := except[id]; !there {
				r.checkpoint(id, head{})
			}
		}
		if err != nil || r.ctx.Err() != nil {
			r.fail(errors.Join(err, r.ctx.Err()))
			r.mu.Lock()
			r.scan = true
			r.mu.Unlock()
			return
		}
		if r.ids != nil || len(ids) < page.Limit {
			return
		}
		page.After = ids[len(ids)-1]
	}
}

// checkpoint signs the head of a ShareData and delivers the checkpoint. If that fails,
// the next round tries again.
func (r *round) checkpoint(id string, h head) {
	err := r.deliver(id, h)
	if err == nil {
		return
	}
	r.fail(fmt.Errorf("%.60q: %w", id, err))
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, newer := r.changed[id]; !newer {
		r.rememberLocked(id, h)
	}
}

func (r *round) fail(err error) {
	r.failed++
	if r.err == nil {
		r.err = err
	}
}

func (r *round) deliver(id string, h head) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if h.hash == (sharedata.Hash{}) {
		var err error
		if h, err = r.newest(id); err != nil || h == (head{}) {
			return err
		}
	}
	c, err := r.options.Signer.Sign(id, h.cursor, h.hash, time.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.options.SinkTimeout)
	defer cancel()
	return r.options.Sink(ctx, c)
}

// newest reads the newest entry of a ShareData; none if it does not exist any more, or
// if the store does not keep the entry.
func (r *round) newest(id string) (h head, err error) {
	snapshot, err := r.manager.Get(r.ctx, id)
	if err == nil {
		before := replay.Cursor{Epoch: snapshot.Cursor.Epoch, Revision: snapshot.Cursor.Revision - 1}
		for e, failed := range r.manager.History(r.ctx, id, before) {
			if err = failed; err == nil {
				h = head{e.Cursor, e.Hash}
			}
		}
	}
	if errors.Is(err, sharedata.ErrUnknownShareData) || errors.Is(err, replay.ErrCursorTooOld) {
		return head{}, nil
	}
	return h, err
}

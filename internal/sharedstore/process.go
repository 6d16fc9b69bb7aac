package sharedstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// Process is the store by which one process uses a Medium.
type Process struct {
	medium *Medium
	// notifiers counts the goroutines that call notify; Close waits for them.
	notifiers sync.WaitGroup

	// The rest is guarded by Medium.mu.

	closed             bool
	reachable          bool
	losesAnnouncements bool
	lostReplies        int // replies still to be lost
	calls              map[string]int
	follows            []*follow // in the order in which they began
}

var (
	_ replay.Store    = (*Process)(nil)
	_ replay.Follower = (*Process)(nil)
)

// SetReachable says whether the process reaches the medium; it does at first.
// While it does not, every call fails at once with an error that wraps
// replay.ErrUnavailable, and nothing is announced to it. When it does again,
// every follow is notified with nil.
func (p *Process) SetReachable(reachable bool) {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	if reachable && !p.reachable {
		for _, f := range p.follows {
			f.enqueueLocked(nil)
		}
	}
	p.reachable = reachable
}

// LoseAnnouncements says whether announcements to the process are lost without
// a sign. Those that were lost are not made up for; see Check.
func (p *Process) LoseAnnouncements(lose bool) {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	p.losesAnnouncements = lose
}

// Check is the periodic check of a real store: it notifies with nil every follow
// whose history is elsewhere than notified. It does nothing while the medium
// cannot be reached.
func (p *Process) Check() {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	if !p.reachable {
		return
	}
	for _, f := range p.follows {
		if f.position != p.medium.positionLocked(f.id) {
			f.enqueueLocked(nil)
		}
	}
}

// LoseReplies loses the replies to the next n batches that the process commits:
// each takes effect, and is announced, but Append returns an error that wraps
// replay.ErrUnavailable.
func (p *Process) LoseReplies(n int) {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	p.lostReplies = n
}

// Calls counts the calls so far by the name of the method, Load, Append, Read,
// Find, IDs and Follow, whether they succeeded or not.
func (p *Process) Calls() map[string]int {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	return maps.Clone(p.calls)
}

// Following returns the ids that the process follows, sorted, each as often as
// it is followed.
func (p *Process) Following() []string {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	ids := make([]string, len(p.follows))
	for i, f := range p.follows {
		ids[i] = f.id
	}
	slices.Sort(ids)
	return ids
}

// Load implements replay.Store. While another process follows a history that
// Rollback or Flush lost whole, Load fails and notifies the followers, as
// replay.Follower requires.
func (p *Process) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	if err := p.callLocked(ctx, "Load"); err != nil {
		return replay.Head{}, err
	}
	head, err := p.medium.memory.Load(ctx, id, have)
	if errors.Is(err, replay.ErrNotFound) && p.medium.lost[id] && !p.followsLocked(id) && p.medium.followedLocked(id) {
		p.medium.announceLocked(id, nil)
		return replay.Head{}, fmt.Errorf("%w: the history was lost, and the processes that follow it have not restarted it yet", replay.ErrUnavailable)
	}
	if err == nil && p.medium.rolledBack[id] {
		head.RestartAfter = head.Cursor.Epoch
	}
	return head, err
}

// Append implements replay.Store.
func (p *Process) Append(ctx context.Context, id string, batch replay.Batch) error {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	if err := p.callLocked(ctx, "Append"); err != nil {
		return err
	}
	if err := p.checkReservationLocked(ctx, id, batch); err != nil {
		return err
	}
	if err := p.medium.commitLocked(ctx, id, batch); err != nil {
		p.reserveLocked(id, batch, err)
		return err
	}
	if p.lostReplies > 0 {
		p.lostReplies--
		return fmt.Errorf("%w: the reply was lost", replay.ErrUnavailable)
	}
	return nil
}

// Read implements replay.Store.
func (p *Process) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	memory, err := p.call(ctx, "Read")
	if err != nil {
		return nil, err
	}
	return memory.Read(ctx, id, after, limit)
}

// Find implements replay.Store.
func (p *Process) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	memory, err := p.call(ctx, "Find")
	if err != nil {
		return nil, err
	}
	return memory.Find(ctx, id, keys)
}

// IDs implements replay.Store.
func (p *Process) IDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		memory, err := p.call(ctx, "IDs")
		if err != nil {
			yield("", err)
			return
		}
		memory.IDs(ctx)(yield)
	}
}

// call counts a call and returns the Memory that it uses.
func (p *Process) call(ctx context.Context, method string) (*replay.Memory, error) {
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	return p.medium.memory, p.callLocked(ctx, method)
}

// callLocked counts a call, and fails where the process cannot make one.
func (p *Process) callLocked(ctx context.Context, method string) error {
	p.calls[method]++
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case p.closed:
		return replay.ErrClosed
	case !p.reachable:
		return fmt.Errorf("%w: this process does not reach it", replay.ErrUnavailable)
	}
	return nil
}

// Close ends the process: it follows nothing any more, and its calls fail with
// replay.ErrClosed. It waits for calls of notify that are under way, so notify
// must not call it. It always returns nil and may be called again.
func (p *Process) Close() error {
	p.medium.mu.Lock()
	p.closed = true
	for _, f := range p.follows {
		f.stopped = true
	}
	p.follows = nil
	p.medium.processes = slices.DeleteFunc(p.medium.processes, func(other *Process) bool { return other == p })
	p.medium.mu.Unlock()
	p.notifiers.Wait()
	return nil
}

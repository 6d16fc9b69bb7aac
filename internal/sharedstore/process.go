package sharedstore

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// Process is the store by which one process uses a Shared. It is a
// replay.Follower too.
type Process struct {
	shared *Shared
	// telling counts the goroutines that call tell.
	telling sync.WaitGroup

	// The rest is guarded by shared.mu.

	closed    bool
	reachable bool
	losing    bool // announcements
	unheard   int  // replies still to be lost
	calls     map[string]int
	follows   []*following // in the order in which they began
}

var (
	_ replay.Store    = (*Process)(nil)
	_ replay.Follower = (*Process)(nil)
)

// SetReachable says whether the process reaches the medium; it does at first.
// While it does not, every call fails at once with an error that wraps
// replay.ErrUnavailable, and nothing is announced to it. When it does again,
// everything that it follows is told nil.
func (p *Process) SetReachable(reachable bool) {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	if reachable && !p.reachable {
		for _, f := range p.follows {
			f.sayLocked(nil)
		}
	}
	p.reachable = reachable
}

// LoseAnnouncements says whether announcements to the process are lost, without
// a sign, as long as that is so. What was lost is not told later; see Check.
func (p *Process) LoseAnnouncements(lose bool) {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.losing = lose
}

// Check does what a real store does now and then: whoever follows a history
// that is not where it was told to be is told nil. It does nothing while the
// medium cannot be reached.
func (p *Process) Check() {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	if !p.reachable {
		return
	}
	for _, f := range p.follows {
		if f.told != p.shared.placeLocked(f.id) {
			f.sayLocked(nil)
		}
	}
}

// LoseReplies loses the replies to the next n batches that the process commits:
// each takes effect, and is announced, but Append returns an error that wraps
// replay.ErrUnavailable.
func (p *Process) LoseReplies(n int) {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.unheard = n
}

// Calls counts the calls so far by the name of the method, Load, Append, Read,
// Find, IDs and Follow, whatever came of them.
func (p *Process) Calls() map[string]int {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	return maps.Clone(p.calls)
}

// Following returns the ids that the process follows, sorted, each as often as
// it does.
func (p *Process) Following() []string {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	ids := make([]string, len(p.follows))
	for i, f := range p.follows {
		ids[i] = f.id
	}
	slices.Sort(ids)
	return ids
}

// Load implements replay.Store.
func (p *Process) Load(ctx context.Context, id string) (replay.Head, error) {
	memory, err := p.call(ctx, "Load")
	if err != nil {
		return replay.Head{}, err
	}
	return memory.Load(ctx, id)
}

// Append implements replay.Store.
func (p *Process) Append(ctx context.Context, id string, batch replay.Batch) (err error) {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	if err := p.callLocked(ctx, "Append"); err != nil {
		return err
	}
	if err := p.waitForTurnLocked(ctx, id, batch); err != nil {
		return err
	}
	if err = p.shared.commitLocked(ctx, id, batch); err != nil {
		p.claimLocked(id, batch, err)
		return err
	}
	if p.unheard > 0 {
		p.unheard--
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

// call counts a call and returns what it is to be made on.
func (p *Process) call(ctx context.Context, method string) (*replay.Memory, error) {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	return p.shared.memory, p.callLocked(ctx, method)
}

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
// replay.ErrClosed. It waits for calls of tell that are under way, so tell must
// not call it. It always returns nil and may be called again.
func (p *Process) Close() error {
	p.shared.mu.Lock()
	p.closed = true
	for _, f := range p.follows {
		f.stopped = true
	}
	p.follows = nil
	p.shared.processes = slices.DeleteFunc(p.shared.processes, func(other *Process) bool { return other == p })
	p.shared.mu.Unlock()
	p.telling.Wait()
	return nil
}

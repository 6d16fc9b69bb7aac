package sharedata

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/safe-go/safe/replay"
)

// MaxIDBytes is the longest id of a ShareData.
const MaxIDBytes = 1024

// Manager holds ShareData. All its methods may be called from any number of
// goroutines; different ShareData never wait for each other.
//
// Besides what each method names, methods that take an id fail with
// ErrInvalidID, those that change something with ErrBusy and ErrInvalidCaller,
// and all with the context's error where that ends first. Where a change may have
// taken effect in spite of an error, errors.Is finds ErrOutcomeUnknown in it; after
// any other error it is known that nothing happened.
//
// A Manager keeps a few goroutines for the next changes. Close ends them.
type Manager struct {
	options  Options
	kinds    map[string]Functions
	follower replay.Follower // the store, if other processes append to it

	// loadedBytes is the memory that loaded ShareData are counted for, and clock
	// counts the loads, which tells how long ago one was used.
	loadedBytes atomic.Int64
	clock       atomic.Uint64

	storeFailures logLimiter
	// refreshSlots is filled by the ShareData that refresh because the store
	// notified them.
	refreshSlots chan struct{}

	// resolverCalls are the calls of resolvers that committers wait for.
	resolverCalls functionCalls

	workers *workers
	// closed has the workers refuse what waits. It is set with mu held, so that no
	// worker is started afterwards.
	closed atomic.Bool
	// ended is closed when Close has waited for everything.
	ended chan struct{}

	observersMu sync.Mutex
	observers   []*observation // copied when changed

	// mu has its place in the lock order that is written at shareData.
	mu        sync.RWMutex
	shareData map[string]*shareData
	functions map[string]registration // by the id of the ShareData
}

// NewManager returns a Manager. Nil options are good: histories are kept in
// memory then. It fails on options that contradict their documentation and on
// kinds whose functions cannot be registered (ErrInvalidFunction).
func NewManager(options *Options) (*Manager, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Manager{
		options:   o,
		kinds:     make(map[string]Functions, len(o.Kinds)),
		shareData: make(map[string]*shareData),
		functions: make(map[string]registration),
		workers:   newWorkers(),
		ended:     make(chan struct{}),
	}
	m.refreshSlots = make(chan struct{}, maxRefreshing)
	m.follower, _ = o.Store.(replay.Follower)
	for _, kind := range o.Kinds {
		functions := Functions(slices.Clone(kind.Functions))
		if err := functions.check(); err != nil {
			return nil, fmt.Errorf("kind %q: %w", kind.Name, err)
		}
		if err := m.checkVerifiable(functions...); err != nil {
			return nil, fmt.Errorf("kind %q: %w", kind.Name, err)
		}
		if _, taken := m.kinds[kind.Name]; taken || kind.Name == "" || !utf8.ValidString(kind.Name) {
			return nil, fmt.Errorf("%w: kinds need distinct names of UTF-8 that are not empty, got %q", ErrUnknownKind, kind.Name)
		}
		m.kinds[kind.Name] = functions
	}
	return m, nil
}

// Close refuses what waits, lets what is being committed end, and returns when
// nothing of the manager runs any more, except functions and resolvers that ignore
// their deadline, which nothing can end. Afterwards every method fails with ErrClosed. Closing twice
// is fine. The store is left open.
//
// Close waits for functions, observers and the done of Submit, so none of these may
// call it.
func (m *Manager) Close() error {
	m.mu.Lock()
	again := m.closed.Swap(true)
	m.mu.Unlock()
	if again {
		<-m.ended
		return nil
	}
	defer close(m.ended)
	m.workers.close()
	for _, s := range m.all() {
		s.handover.Lock()
		s.observers = nil
		s.followIfObserved()
		s.handover.Unlock()
		s.cancelRefresh()
	}
	return nil
}

// all returns what is loaded.
func (m *Manager) all() []*shareData {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Values(m.shareData))
}

// enqueue gives the request to the ShareData's goroutine, which it starts where
// there is none. An error means that the request's done is never called.
func (m *Manager) enqueue(id string, r *request) error {
	if err := checkID(id); err != nil {
		return err
	}
	m.mu.RLock()
	s, found := m.shareData[id]
	if found {
		defer m.mu.RUnlock()
	} else {
		m.mu.RUnlock()
		m.mu.Lock()
		defer m.mu.Unlock()
		if s, found = m.shareData[id]; !found && !m.closed.Load() {
			s = &shareData{manager: m, id: id}
			s.committer.shareData = s
			s.recent.max = max(m.options.RecentEntries, 0)
			m.clock.Add(1)
			m.shareData[id] = s
		}
	}
	if m.closed.Load() {
		return fmt.Errorf("%.60q: %w", id, ErrClosed)
	}
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if limit := m.options.MaxWaiting; limit > 0 && s.queue.isFullLocked(r.proposer, limit) {
		return fmt.Errorf("%w: %d wait for %.60q; propose again later", ErrBusy, s.queue.waiting, id)
	}
	s.touch()
	s.queue.pushLocked(r)
	s.startLocked()
	return nil
}

func checkID(id string) error {
	if id == "" || len(id) > MaxIDBytes || !utf8.ValidString(id) {
		return fmt.Errorf("%w: %.60q has %d bytes; use 1 to %d of UTF-8", ErrInvalidID, id, len(id), MaxIDBytes)
	}
	return nil
}

// do has a change made and waits for its outcome.
func (m *Manager) do(ctx context.Context, id string, r *request) (outcome, error) {
	replied := make(chan outcome, 1)
	if r.ctx == nil {
		r.ctx = ctx
	}
	r.done = func(o outcome) { replied <- o }
	if err := m.enqueue(id, r); err != nil {
		return outcome{}, err
	}
	select {
	case o := <-replied:
		return o, o.err
	case <-ctx.Done():
	}
	if r.withdraw() || r.change.kind == changeNothing {
		return outcome{}, fmt.Errorf("withdrawn before the turn at %.60q: %w", id, ctx.Err())
	}
	select {
	case o := <-replied:
		return o, o.err
	default:
		return outcome{}, fmt.Errorf("%w: stopped waiting for the commit to %.60q: %w", ErrOutcomeUnknown, id, ctx.Err())
	}
}

// storeContext bounds a call of the store. What is done for several callers has
// context.Background() as its parent.
func (m *Manager) storeContext(parent context.Context) (context.Context, context.CancelFunc) {
	var deadline time.Time
	if m.options.StoreTimeout > 0 {
		deadline = time.Now().Add(m.options.StoreTimeout)
	}
	ctx := newDeadlineContext(parent, deadline)
	return ctx, ctx.cancel
}

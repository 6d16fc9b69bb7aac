package sharedata

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
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
// and all with the context's error where that ends first.
type Manager struct {
	options  Options
	kinds    map[string]Functions
	follower replay.Follower // the store, if other processes append to it

	// loadedBytes is the memory that loaded ShareData are counted for, and clock
	// counts the loads, which tells how long ago one was used.
	loadedBytes atomic.Int64
	clock       atomic.Uint64

	complaints complaints
	// looking is filled by those that look at the store because it told them to:
	// after an outage, that may be everybody at once.
	looking chan struct{}

	// running counts the goroutines of shareData.run. closed tells them to turn
	// away what waits; it is set with mu held, so that none is started after.
	running sync.WaitGroup
	closed  atomic.Bool

	observersMu sync.Mutex
	observers   []*observation // copied when changed

	// mu has its place in the order of locks that shareData gives.
	mu        sync.RWMutex
	shareData map[string]*shareData
	functions map[string]registration // by the id of the ShareData
}

// registration is the functions that were registered for one ShareData.
type registration struct {
	functions Functions
	// origin names the ShareData by that id that they were created with; there
	// may be another one by now.
	origin uint64
	// lasting ones, of Ensure, are for any.
	lasting bool
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
	}
	m.looking = make(chan struct{}, maxLooking)
	m.follower, _ = o.Store.(replay.Follower)
	for _, kind := range o.Kinds {
		functions := Functions(slices.Clone(kind.Functions))
		if err := functions.check(); err != nil {
			return nil, fmt.Errorf("kind %q: %w", kind.Name, err)
		}
		if _, taken := m.kinds[kind.Name]; taken || kind.Name == "" || !utf8.ValidString(kind.Name) {
			return nil, fmt.Errorf("%w: kinds need distinct names of UTF-8 that are not empty, got %q", ErrUnknownKind, kind.Name)
		}
		m.kinds[kind.Name] = functions
	}
	return m, nil
}

// Close turns away what waits, lets what is being committed end, and returns
// when nothing of the manager runs any more; except runs of functions that
// ignore that their time is over, which nothing can end. Afterwards every
// method fails with ErrClosed. Closing twice is fine. The store is left open.
//
// It waits for functions, observers and the done of Submit, so none of these may
// call it.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed.Store(true)
	m.mu.Unlock()
	m.running.Wait()
	for _, s := range m.all() {
		s.handover.Lock()
		s.observers = nil
		s.followOrNot()
		s.handover.Unlock()
		s.lookNoMore()
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
			s.recent.max = max(m.options.RecentEntries, 0)
			m.clock.Add(1)
			m.shareData[id] = s
		}
	}
	if m.closed.Load() {
		return fmt.Errorf("%.60q: %w", id, ErrClosed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := m.options.MaxWaiting; limit > 0 && len(s.waiting) >= limit {
		return fmt.Errorf("%w: %d wait for %.60q; propose again later", ErrBusy, len(s.waiting), id)
	}
	s.touch()
	s.waiting = append(s.waiting, r)
	s.startLocked()
	return nil
}

// startLocked starts the goroutine unless it runs. It is called with
// Manager.mu held as well, so that none is started after Close.
func (s *shareData) startLocked() {
	if !s.running {
		s.running = true
		s.manager.running.Add(1)
		go s.run()
	}
}

func checkID(id string) error {
	if id == "" || len(id) > MaxIDBytes || !utf8.ValidString(id) {
		return fmt.Errorf("%w: %.60q has %d bytes; use 1 to %d of UTF-8", ErrInvalidID, id, len(id), MaxIDBytes)
	}
	return nil
}

// do has a change made and waits for its outcome.
func (m *Manager) do(ctx context.Context, id string, r *request) (outcome, error) {
	answered := make(chan outcome, 1)
	r.ctx = ctx
	r.done = func(o outcome) { answered <- o }
	if err := m.enqueue(id, r); err != nil {
		return outcome{}, err
	}
	select {
	case o := <-answered:
		return o, o.err
	case <-ctx.Done():
		return outcome{}, fmt.Errorf("waiting for %.60q: %w", id, ctx.Err())
	}
}

// look returns where a history stands, from memory if it is loaded. Then it does
// not wait, so that observers may look too. That there is nothing is believed
// only where no other process may have created it.
func (m *Manager) look(ctx context.Context, id string) (position, error) {
	s, err := m.use(id)
	if err != nil {
		return position{}, err
	}
	if s != nil {
		if at := s.current.Load(); at != nil && (at.exists || m.follower == nil || s.telling.Load()) {
			return *at, nil
		}
	}
	o, err := m.do(ctx, id, &request{change: change{kind: changeNothing}})
	return o.at, err
}

// lookAgain is look for those who want to know what other processes have done
// up to now. Where a ShareData is followed, memory knows. Where the store
// cannot be reached, what is in memory is the best there is.
func (m *Manager) lookAgain(ctx context.Context, id string) (position, error) {
	s := m.loaded(id)
	if m.follower == nil || s == nil || s.followed.Load() || s.telling.Load() {
		return m.look(ctx, id)
	}
	if !s.judging.Load() {
		o, err := m.do(ctx, id, &request{change: change{kind: changeNothing, fresh: true}})
		return o.at, err
	}
	// Who asks may be one of its functions, for which its goroutine waits.
	known, err := m.recall(id)
	if err != nil {
		return position{}, err
	}
	held, err := m.storedPosition(ctx, id)
	switch {
	case err != nil && ctx.Err() == nil && known.exists:
		return known, nil
	case err == nil && held.exists && held.isBefore(known):
		s.hear(nil) // the store has gone back
		return known, nil
	}
	return held, err
}

// recall returns where a history stands as far as is known.
func (m *Manager) recall(id string) (position, error) {
	s, err := m.use(id)
	if s == nil || err != nil {
		return position{}, err
	}
	if at := s.current.Load(); at != nil {
		return *at, nil
	}
	return position{}, nil
}

// use returns what is loaded, or nil, and notes the use.
func (m *Manager) use(id string) (*shareData, error) {
	if m.closed.Load() {
		return nil, fmt.Errorf("%.60q: %w", id, ErrClosed)
	}
	s := m.loaded(id)
	if s != nil {
		s.touch()
	}
	return s, nil
}

func (m *Manager) loaded(id string) *shareData {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.shareData[id]
}

// storeContext bounds a call of the store. What is done for several callers has
// context.Background() as its parent.
func (m *Manager) storeContext(parent context.Context) (context.Context, context.CancelFunc) {
	if m.options.StoreTimeout < 0 {
		return context.WithCancel(parent)
	}
	return context.WithTimeout(parent, m.options.StoreTimeout)
}

// functionsOf returns the functions registered for a ShareData: its own and
// its kind's.
func (m *Manager) functionsOf(id string, at position) Functions {
	m.mu.RLock()
	own := m.functions[id]
	m.mu.RUnlock()
	if len(own.functions) == 0 || !own.lasting && own.origin != at.origin {
		return m.kinds[at.kind]
	}
	return append(slices.Clone(own.functions), m.kinds[at.kind]...)
}

func (m *Manager) setFunctions(id string, own registration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(own.functions) == 0 {
		delete(m.functions, id)
		return
	}
	m.functions[id] = own
}

// forgetFunctions drops the functions of a ShareData that was removed, unless
// they are to be there when it is created anew.
func (m *Manager) forgetFunctions(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.functions[id].lasting {
		delete(m.functions, id)
	}
}

package sharedata

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"
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
	options Options
	kinds   map[string]Functions

	// running counts the goroutines of shareData.run. closed tells them to turn
	// away what waits; it is set with mu held, so that none is started after.
	running sync.WaitGroup
	closed  atomic.Bool

	observersMu sync.Mutex
	observers   []*observation // copied when changed

	// mu has its place in the order of locks that shareData gives.
	mu        sync.RWMutex
	shareData map[string]*shareData
	functions map[string]Functions // by the id of the ShareData
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
		functions: make(map[string]Functions),
	}
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
	return nil
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
	s.waiting = append(s.waiting, r)
	if !s.running {
		s.running = true
		m.running.Add(1)
		go s.run()
	}
	return nil
}

func checkID(id string) error {
	if id == "" || len(id) > MaxIDBytes || !utf8.ValidString(id) {
		return fmt.Errorf("%w: %.60q has %d bytes; use 1 to %d of UTF-8", ErrInvalidID, id, len(id), MaxIDBytes)
	}
	return nil
}

// forget drops a ShareData that has no history, unless something waits for it:
// asking for ids that do not exist must not cost memory.
func (m *Manager) forget(s *shareData) {
	if at := s.current.Load(); at != nil && at.exists {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.current.Load(); !s.running && m.shareData[s.id] == s && (at == nil || !at.exists) {
		delete(m.shareData, s.id)
	}
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
// not wait, so that observers may look too.
func (m *Manager) look(ctx context.Context, id string) (position, error) {
	if m.closed.Load() {
		return position{}, fmt.Errorf("%.60q: %w", id, ErrClosed)
	}
	if s := m.loaded(id); s != nil {
		if at := s.current.Load(); at != nil {
			return *at, nil
		}
	}
	o, err := m.do(ctx, id, &request{change: change{kind: changeNothing}})
	return o.at, err
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
func (m *Manager) functionsOf(id, kind string) Functions {
	m.mu.RLock()
	own := m.functions[id]
	m.mu.RUnlock()
	if len(own) == 0 {
		return m.kinds[kind]
	}
	return append(slices.Clone(own), m.kinds[kind]...)
}

func (m *Manager) setFunctions(id string, functions Functions) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(functions) == 0 {
		delete(m.functions, id)
		return
	}
	m.functions[id] = functions
}

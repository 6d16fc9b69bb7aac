package sharedata

import (
	"context"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// position returns where a history stands, from memory if it is loaded. Then it does
// not wait, so that observers may call it too. That there is no history is read
// from the store again where another process may have created one.
func (m *Manager) position(ctx context.Context, id string) (position, error) {
	s, err := m.use(id)
	if err != nil {
		return position{}, err
	}
	if s != nil {
		if at := s.current.Load(); at != nil && (at.exists || m.follower == nil || s.calling.Load() == callingObservers) {
			return *at, nil
		}
	}
	o, err := m.do(ctx, id, &request{change: change{kind: changeNothing}})
	return o.at, err
}

// freshPosition is position with what other processes have committed up to now. Of a
// ShareData that is followed, the cached position is fresh. Where the store cannot
// be reached, the cached position is the best there is.
func (m *Manager) freshPosition(ctx context.Context, id string) (position, error) {
	s := m.loaded(id)
	if m.follower == nil || s == nil || s.isFollowed() || s.calling.Load() == callingObservers {
		return m.position(ctx, id)
	}
	if s.calling.Load() == callingNothing {
		o, err := m.do(ctx, id, &request{change: change{kind: changeNothing, fresh: true}})
		return o.at, err
	}
	// The caller may be one of the functions, for which the goroutine waits.
	known, err := m.cachedPosition(id)
	if err != nil {
		return position{}, err
	}
	held, err := m.storedPosition(ctx, id, replay.Cursor{})
	switch {
	case err != nil && ctx.Err() == nil && known.exists:
		return known, nil
	case err == nil && held.exists && known.cursor.After(held.cursor):
		s.notify(nil) // the store has rolled back
		return known, nil
	}
	return held, err
}

// cachedPosition returns where a history stands as far as is known in memory.
func (m *Manager) cachedPosition(id string) (position, error) {
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

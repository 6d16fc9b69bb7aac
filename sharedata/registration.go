package sharedata

import "slices"

// registration is the functions that were registered for one ShareData.
type registration struct {
	functions Functions
	// origin names the ShareData that they were created with; there may be another
	// one by the same id by now.
	origin uint64
	// permanent ones, of Ensure, are for any ShareData by the id.
	permanent bool
}

// functionsOf returns the functions registered for a ShareData: its own and
// its kind's.
func (m *Manager) functionsOf(id string, at position) Functions {
	m.mu.RLock()
	own := m.functions[id]
	m.mu.RUnlock()
	switch kind := m.kinds[at.kind]; {
	case len(own.functions) == 0 || !own.permanent && own.origin != at.origin:
		return kind
	case len(kind) == 0:
		return own.functions
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
// they are permanent.
func (m *Manager) forgetFunctions(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.functions[id].permanent {
		delete(m.functions, id)
	}
}

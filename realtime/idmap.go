package realtime

import (
	"iter"
	"maps"
)

// idMap maps the ids of ShareData to values. It has room for one without a map, because
// most connections are about one ShareData.
type idMap[V any] struct {
	id    string
	first *V            // nil for none
	more  map[string]*V // nil while it is empty
}

func (m *idMap[V]) get(id string) *V {
	if m.first != nil && m.id == id {
		return m.first
	}
	return m.more[id]
}

func (m *idMap[V]) set(id string, value *V) {
	switch {
	case m.more[id] != nil:
		m.more[id] = value
	case m.first == nil || m.id == id:
		m.id, m.first = id, value
	default:
		if m.more == nil {
			m.more = make(map[string]*V)
		}
		m.more[id] = value
	}
}

func (m *idMap[V]) delete(id string) {
	if m.first != nil && m.id == id {
		m.id, m.first = "", nil
		return
	}
	if delete(m.more, id); len(m.more) == 0 {
		m.more = nil
	}
}

func (m *idMap[V]) len() int {
	n := len(m.more)
	if m.first != nil {
		n++
	}
	return n
}

// all returns the values.
func (m *idMap[V]) all() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		if m.first != nil && !yield(m.first) {
			return
		}
		maps.Values(m.more)(yield)
	}
}

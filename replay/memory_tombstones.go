package replay

// maxTombstones is how many removed histories each half of tombstones remembers
// exactly.
const maxTombstones = 64

// tombstones remembers the last positions of removed histories, so that no id
// goes back to an epoch it has had. It is bounded: of the histories that were
// removed long ago it remembers only the latest position of all, and returns it
// for every id that it does not remember exactly. So the epoch that it returns
// may be later than the last one of the id, but never earlier.
//
// There are two halves. When the newer one is full, the older one is forgotten
// and the newer one takes its place.
type tombstones struct {
	newer, older map[string]Cursor
	forgotten    Cursor
}

// add remembers the last position of a removed history.
func (t *tombstones) add(id string, last Cursor) {
	if _, again := t.newer[id]; !again && (t.newer == nil || len(t.newer) >= maxTombstones) {
		for _, cursor := range t.older {
			if cursor.Epoch > t.forgotten.Epoch {
				t.forgotten = cursor
			}
		}
		t.newer, t.older = make(map[string]Cursor), t.newer
	}
	t.newer[id] = last
}

// last returns the last position of the id's removed history, or a later one of
// another id. It is zero if the id certainly had none.
func (t *tombstones) last(id string) Cursor {
	if cursor, found := t.newer[id]; found {
		return cursor
	}
	if cursor, found := t.older[id]; found {
		return cursor
	}
	return t.forgotten
}

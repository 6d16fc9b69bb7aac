package replay

// maxEndings is how many removed histories each half of an endings remembers
// exactly.
const maxEndings = 64

// endings remembers where removed histories ended, so that no id goes back to
// an epoch it has had. It is bounded: of the histories that were removed long
// ago it knows only the latest of all their positions, and says that of every
// id it knows nothing else of. So it may name too late an epoch, but never too
// early a one.
//
// The histories are kept in two halves. When the newer is full, the older is
// forgotten and the newer takes its place.
type endings struct {
	newer, older map[string]Cursor
	forgotten    Cursor
}

// add notes the last position of a removed history.
func (e *endings) add(id string, last Cursor) {
	if _, again := e.newer[id]; !again && (e.newer == nil || len(e.newer) >= maxEndings) {
		for _, cursor := range e.older {
			if cursor.Epoch > e.forgotten.Epoch {
				e.forgotten = cursor
			}
		}
		e.newer, e.older = make(map[string]Cursor), e.newer
	}
	e.newer[id] = last
}

// last is the last position of the id's removed history, or a later one of
// another id. It is zero where there certainly was none.
func (e *endings) last(id string) Cursor {
	if cursor, found := e.newer[id]; found {
		return cursor
	}
	if cursor, found := e.older[id]; found {
		return cursor
	}
	return e.forgotten
}

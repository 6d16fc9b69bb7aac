package client

import (
	"fmt"
	"sync"
)

// verifier checks the events of one ShareData.
type verifier struct {
	w  *modelServer
	id string

	mu       sync.Mutex
	at       string // the position that the user knows
	known    bool
	promised string // the position that a resumed State has promised
	gaps     int
	led      bool // see checkState
	computed int  // replayed events with a state
	patches  int  // events with a patch
	moves    int
	err      error
	log      []string
}

func (j *verifier) failf(format string, args ...any) {
	if j.err == nil {
		j.err = fmt.Errorf(j.id+": "+format, args...)
	}
}

// move takes the user to another subscription. known: it continues where the user is.
func (j *verifier) move(known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.moves++
	j.promised = ""
	if !known {
		j.at, j.known = "", false
	}
}

// parseCursor returns the parts of a cursor of a model server.
func parseCursor(cursor string) (epoch, revision int) {
	fmt.Sscanf(cursor, "%d-%d", &epoch, &revision)
	return epoch, revision
}

// check takes the next event, and the cursor of the subscription after it.
func (j *verifier) check(event Event, cursor string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log = append(j.log, describe(event)+" @ "+cursor)
	switch e := event.(type) {
	case *State:
		switch {
		case e.Resumed && !j.known:
			j.failf("resumed from nothing")
		case !e.Resumed && j.known && e.Skipped == 0:
			j.failf("a snapshot without a gap at %s", j.at)
		}
		epoch, revision := parseCursor(j.at)
		newEpoch, newRevision := parseCursor(e.Cursor)
		switch {
		case e.Skipped > 0 && (newEpoch != epoch || newRevision != revision+int(e.Skipped)):
			j.failf("%d skipped from %s to %s", e.Skipped, j.at, e.Cursor)
		case e.Resumed && j.at != "" && (newEpoch != epoch || newRevision < revision):
			j.failf("resumed from %s at %s", j.at, e.Cursor)
		case !e.Resumed:
			j.at = e.Cursor
		}
		j.known, j.promised = true, e.Cursor
		if e.Resumed && e.Cursor == j.at && j.at != "" {
			j.promised = fmt.Sprintf("%d-%d", newEpoch, newRevision+int(e.Replaying))
		}
		j.checkState(e, e.Cursor)
	case *Gap:
		if e.Cursor != j.at {
			j.failf("gap after %q, but the user is at %q", e.Cursor, j.at)
		}
		j.gaps++
		j.at, j.known, j.promised = "", false, ""
	case *Transaction:
		j.advance(e.TransactionID, e.Replayed)
		j.checkState(e, e.TransactionID)
	case *Lifecycle:
		switch {
		case e.Removed:
			j.at, j.known, j.promised = "", false, ""
		case e.Cursor != "":
			j.advance(e.Cursor, e.Replayed)
			j.checkState(e, e.Cursor)
		}
	}
	if j.at != cursor && !j.w.published {
		j.failf("Cursor says %q, but the user is at %q", cursor, j.at)
	}
}

// checkState checks the state that an event carries, and that the events carry one where
// the client can know it.
func (j *verifier) checkState(event Event, cursor string) {
	got := event.state()
	if j.w.published {
		return
	}
	replayed := false
	switch e := event.(type) {
	case *State:
		j.led = e.Cursor == j.at // The replay leads from a state that is known.
	case *Transaction:
		replayed = e.Replayed
		if e.Patch != nil {
			j.patches++
		}
	case *Lifecycle:
		replayed = e.Replayed
	}
	if got == nil {
		if !replayed || j.led {
			j.failf("%s has no state", cursor)
		}
		return
	}
	if replayed {
		j.computed++
	}
	if want := j.w.stateAt(cursor); string(got) != want {
		j.failf("the state at %s is %s, want %s", cursor, got, want)
	}
}

// advance takes the user to the cursor, which must be next.
func (j *verifier) advance(cursor string, replayed bool) {
	epoch, revision := parseCursor(j.at)
	newEpoch, newRevision := parseCursor(cursor)
	if !replayed && j.behind() {
		j.failf("a live %s, though %s was promised and %s reached", cursor, j.promised, j.at)
	}
	if j.at != "" && newEpoch != epoch {
		j.failf("%s after %s", cursor, j.at)
	}
	for revision++; revision < newRevision; revision++ {
		if j.w.published && j.isUpdate(newEpoch, revision) {
			continue // has no cursor there
		}
		if j.at != "" {
			j.failf("%s after %s", cursor, j.at)
		}
	}
	if newRevision < revision {
		j.failf("%s after %s: twice or out of order", cursor, j.at)
	}
	j.at = cursor
}

// behind reports whether replayed events are missing.
func (j *verifier) behind() bool {
	if j.promised == "" || j.at == "" {
		return false
	}
	_, promised := parseCursor(j.promised)
	_, at := parseCursor(j.at)
	return at < promised
}

// isUpdate reports whether the revision has no cursor on a published server.
func (j *verifier) isUpdate(epoch, revision int) bool {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	h := j.w.histories[j.id]
	return h.epoch != epoch || h.entries[revision-1].updated
}

// upToDate reports whether the user knows everything.
func (j *verifier) upToDate() bool {
	j.w.mu.Lock()
	h := j.w.histories[j.id]
	want := h.cursor(len(h.entries))
	if j.w.published {
		want = h.last()
	}
	j.w.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.known && j.at == want
}

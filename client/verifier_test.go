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
	err      error
	log      []string
}

func (j *verifier) failf(format string, args ...any) {
	if j.err == nil {
		j.err = fmt.Errorf(j.id+": "+format, args...)
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
		case !e.Resumed && j.known:
			j.failf("a snapshot without a gap at %s", j.at)
		}
		epoch, revision := parseCursor(j.at)
		newEpoch, newRevision := parseCursor(e.Cursor)
		switch {
		case e.Resumed && j.at != "" && (newEpoch != epoch || newRevision < revision):
			j.failf("resumed from %s at %s", j.at, e.Cursor)
		case !e.Resumed:
			j.at = e.Cursor
		}
		j.known, j.promised = true, e.Cursor
	case *Gap:
		if e.Cursor != j.at {
			j.failf("gap after %q, but the user is at %q", e.Cursor, j.at)
		}
		j.gaps++
		j.at, j.known, j.promised = "", false, ""
	case *Transaction:
		j.advance(e.TransactionID, e.Replayed)
	case *Lifecycle:
		switch {
		case e.Removed:
			j.at, j.known, j.promised = "", false, ""
		case e.Cursor != "":
			j.advance(e.Cursor, e.Replayed)
		}
	}
	if j.at != cursor && !j.w.published {
		j.failf("Cursor says %q, but the user is at %q", cursor, j.at)
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

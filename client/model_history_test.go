package client

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/safe-go/safe/internal/jsonpatch"
	"github.com/safe-go/safe/internal/wire"
)

// modelHistory is the history of one ShareData.
type modelHistory struct {
	epoch   int
	entries []modelEntry
	verdict map[string]string // idempotency key -> transaction id
}

type modelEntry struct {
	updated  bool
	accepted bool
	state    json.RawMessage
	patch    json.RawMessage // nil: none
	// unrecorded: an older release appended the entry and recorded no effect of it.
	unrecorded bool
	data       string
}

func (h *modelHistory) cursor(revision int) string { return fmt.Sprintf("%d-%d", h.epoch, revision) }

// last is the id of the newest transaction, or empty.
func (h *modelHistory) last() string {
	for i := len(h.entries); i > 0; i-- {
		if !h.entries[i-1].updated {
			return h.cursor(i)
		}
	}
	return ""
}

// appendLocked commits an entry and notifies the subscribers.
func (w *modelServer) appendLocked(id string, r modelEntry) string {
	h := w.histories[id]
	n := len(h.entries) + 1
	before := h.entries[n-2].state
	switch {
	case r.updated:
		r.state = json.RawMessage(fmt.Sprintf(`{"log":[%d],"pad":"%s"}`, n, strings.Repeat("x", w.random.IntN(2)*w.random.IntN(200))))
	case !r.accepted:
		r.state = before
	default:
		// What it makes depends on the state to which it is applied.
		operations := fmt.Sprintf(`{"op":"add","path":"/log/-","value":%d}`, n)
		if strings.Count(string(before), ",") > 6 {
			operations = `{"op":"remove","path":"/log/0"},` + operations
		}
		r.patch = json.RawMessage("[" + operations + "]")
		var err error
		if r.state, err = jsonpatch.Apply(before, r.patch); err != nil {
			panic(err)
		}
		r.unrecorded = w.random.IntN(100) == 0
	}
	h.entries = append(h.entries, r)
	for p, subscriptions := range w.peers {
		if s := subscriptions[id]; s != nil && !s.held {
			p.send(w.frame(id, h, n, false, s.patches))
			s.sent = n
		}
	}
	return h.cursor(n)
}

// frame is an entry on the wire.
func (w *modelServer) frame(id string, h *modelHistory, revision int, replayed, patches bool) wire.ServerMessage {
	r := h.entries[revision-1]
	state, number, cursor := r.state, uint64(revision), h.cursor(revision)
	if replayed && !patches {
		state = nil
	}
	var patch json.RawMessage
	hash := ""
	if patches {
		if !r.updated && !(r.unrecorded && !replayed) {
			state, patch = nil, r.patch
		}
		if revision%4 == 0 && !r.unrecorded {
			hash = hashOf(r.state)
		}
		if w.random.IntN(70) == 0 {
			w.planted[id]++
			hash = hashOf(r.state)
			if patch == nil {
				hash = hashOf(append(r.state, ' '))
			} else {
				patch = json.RawMessage(`[{"op":"add","path":"/log/0","value":-1}]`)
			}
		}
	}
	if w.published {
		number = 0
	}
	if r.updated {
		if w.published {
			cursor = ""
		}
		return &wire.Lifecycle{ShareDataID: id, Event: wire.EventUpdated, CurrentState: state, Replayed: replayed, Cursor: cursor, Revision: number, StateHash: hash}
	}
	return &wire.Transaction{ShareDataID: id, TransactionID: cursor, Accepted: r.accepted, CurrentState: state, Patch: patch, Replayed: replayed, Revision: number, StateHash: hash}
}

// stateAt returns the state at a cursor.
func (w *modelServer) stateAt(cursor string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	epoch, revision := parseCursor(cursor)
	return string(w.archive[epoch].entries[revision-1].state)
}

package sharedata_test

import (
	"errors"
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// check checks what callers and observers were given, once nothing is under way.
func (w *workload) check() {
	for _, id := range workloadIDs {
		history := w.checkAgreement(id)
		if id == "kept" && !w.losses.any() {
			w.checkProposals(history)
		}
	}
	for _, one := range w.observations {
		w.checkObservation(one)
	}
	for i := range w.all {
		w.checkGlobal(i)
	}
	w.t.Logf("%d proposals, %d observations, %d resets", len(w.proposed), len(w.observations), w.resets)
}

// checkAgreement checks that all processes and the store have the same position.
func (w *workload) checkAgreement(id string) []sharedata.Entry {
	t := w.t
	var first sharedata.Snapshot
	var exists bool
	for i, n := range w.nodes {
		got, err := n.Get(t.Context(), id)
		if err != nil && !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("process %d: %v", i, err)
		}
		if i == 0 {
			first, exists = got, err == nil
		}
		if exists != (err == nil) || got.Cursor != first.Cursor || string(got.State) != string(first.State) || got.LastTransaction != first.LastTransaction {
			t.Errorf("process %d has %q at %+v (%v), process 0 at %+v", i, id, got, err, first)
		}
	}
	if !exists {
		return nil
	}
	for i, n := range w.nodes {
		if again, err := n.Refresh(t.Context(), id); err != nil || again.Cursor != first.Cursor {
			t.Errorf("process %d: after a refresh, %q is at %s (%v), not at %s", i, id, again.Cursor, err, first.Cursor)
		}
	}
	history := wholeHistory(t, w.nodes[0].Manager, id)
	if len(history) == 0 || history[len(history)-1].Cursor != first.Cursor || history[0].Revision() != 1 {
		t.Fatalf("the history of %q has %d entries, and does not lead to %s", id, len(history), first.Cursor)
	}
	w.checkValues(id, history, first)
	return history
}

// checkValues applies the entries of a history again.
func (w *workload) checkValues(id string, history []sharedata.Entry, last sharedata.Snapshot) {
	keys := make(map[string]bool)
	value, known := 0, false // after an update the value is not known
	for _, e := range history {
		switch e.Type {
		case sharedata.EntryCreated, sharedata.EntryUpdated:
			known = e.Type == sharedata.EntryCreated && e.Continues.IsZero()
			value = 0
		case sharedata.EntryTransaction:
			in, _ := sharedata.Decode[Add](e.Data)
			if e.Accepted {
				value += in.By
			}
			if keys[e.IdempotencyKey] {
				w.t.Errorf("%q: the key %q took effect again at %s", id, e.IdempotencyKey, e.Cursor)
			}
			keys[e.IdempotencyKey] = e.IdempotencyKey != ""
		}
		if known && e.StateHash != sharedata.HashState(fmt.Appendf(nil, `{"value":%d}`, value)) {
			w.t.Errorf("%q: the state at %s is not %d", id, e.Cursor, value)
		}
	}
	if known && string(last.State) != fmt.Sprintf(`{"value":%d}`, value) {
		w.t.Errorf("%q is at %s, want %d", id, last.State, value)
	}
}

// checkProposals compares the verdicts on a history that was never rolled back with its
// entries: each verdict names an entry of it, and no two verdicts name the same one.
func (w *workload) checkProposals(history []sharedata.Entry) {
	at := make(map[replay.Cursor]sharedata.Entry)
	byKey := make(map[string]sharedata.Entry)
	for _, e := range history {
		at[e.Cursor] = e
		if e.IdempotencyKey != "" {
			byKey[e.IdempotencyKey] = e
		}
	}
	claimed := make(map[replay.Cursor]bool)
	verdicts := 0
	for _, p := range w.proposed {
		if p.id != "kept" {
			continue
		}
		if p.err != nil {
			if p.key != "" && !errors.Is(p.err, replay.ErrUnavailable) {
				w.t.Errorf("the proposal %q got %v", p.key, p.err)
			}
			continue
		}
		e, there := at[p.verdict.Cursor]
		in, _ := sharedata.Decode[Add](e.Data)
		if !there || in.By != p.by || e.Accepted != p.verdict.Accepted || e.Reason != p.verdict.Reason || e.IdempotencyKey != p.key {
			w.t.Errorf("%+v: the entry is %s %s", p, e.Cursor, line(e))
		}
		if claimed[e.Cursor] {
			w.t.Errorf("%+v: another verdict names %s", p, e.Cursor)
		}
		claimed[e.Cursor] = true
		verdicts++
		if p.key != "" && byKey[p.key].Cursor != e.Cursor {
			w.t.Errorf("%+v: the key is at %s", p, byKey[p.key].Cursor)
		}
	}
	if verdicts == 0 {
		w.t.Error("no proposal had a verdict")
	}
}

// checkObservation checks the events of an observer: every entry after its snapshot, once
// and in order, except where there is a reset.
func (w *workload) checkObservation(one *observation) {
	at, removed := one.from.Cursor, false
	for i, e := range one.events.all() {
		id := one.from.ID
		switch {
		case removed:
			w.t.Fatalf("%q, process %d: notified of %s after the removal", id, one.node, e.Cursor)
		case e.ShareDataID != id:
			w.t.Fatalf("%q, process %d: notified of %q", id, one.node, e.ShareDataID)
		case e.Reset:
			w.resets++
			if id == "kept" && !w.losses.any() {
				w.t.Fatalf("%q, process %d: event %d is a reset to %s after %s, though nothing was lost", id, one.node, i, e.Cursor, at)
			}
			if e.Cursor.Epoch < at.Epoch || e.Cursor == at {
				w.t.Fatalf("%q, process %d: a reset leads from %s back to %s", id, one.node, at, e.Cursor)
			}
		case e.Cursor != at.Next():
			w.t.Fatalf("%q, process %d: event %d is %s after %s", id, one.node, i, e.Cursor, at)
		}
		if removed = e.Type == sharedata.EntryRemoved; !removed && !e.Reset && e.StateHash != sharedata.HashState(e.State) {
			w.t.Fatalf("%q, process %d: the state at %s is %s, which is not the entry's", id, one.node, e.Cursor, e.State)
		}
		at = e.Cursor
	}
	if removed || one.stopped {
		return
	}
	now, err := w.nodes[one.node].Get(w.t.Context(), one.from.ID)
	if err != nil || at != now.Cursor {
		w.t.Errorf("%q, process %d: notified of everything up to %s, but it is at %s (%v)", one.from.ID, one.node, at, now.Cursor, err)
	}
}

// checkGlobal checks the events of the observer of every ShareData at a process. What has
// no observer of its own is not followed, so only the order is certain.
func (w *workload) checkGlobal(i int) {
	last := make(map[string]sharedata.Event)
	for _, e := range w.all[i].all() {
		before, some := last[e.ShareDataID]
		switch {
		case !some:
		case e.Cursor.Epoch < before.Cursor.Epoch, !e.Reset && e.Cursor.Epoch == before.Cursor.Epoch && e.Cursor.Revision <= before.Cursor.Revision:
			w.t.Fatalf("process %d: notified of %s of %q after %s", i, e.Cursor, e.ShareDataID, before.Cursor)
		case !e.Reset && before.Type != sharedata.EntryRemoved && e.Cursor != before.Cursor.Next():
			w.t.Fatalf("process %d: notified of %s of %q after %s without a reset", i, e.Cursor, e.ShareDataID, before.Cursor)
		}
		last[e.ShareDataID] = e
	}
}

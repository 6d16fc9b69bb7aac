package checker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Check evaluates what was recorded so far. It may be called again later. Other
// methods of the Recorder block while it runs.
func (r *Recorder) Check(options Options) Violations {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return Violations{{
			Promise: Recorded, Where: fmt.Sprintf("record %d", r.last),
			Explanation: fmt.Sprintf("the recording is full at %d records and cannot be evaluated; record shorter runs", r.limit),
		}}
	}
	ev := &evaluation{
		options:    options.withDefaults(),
		histories:  r.histories,
		losses:     r.losses,
		outages:    r.outages,
		states:     r.states,
		assertions: make(map[position]assertion),
		epochs:     make(map[string]map[uint64]string),
		removals:   make(map[string]map[uint64]bool),
		known:      make(map[string][]knownPosition),
		reads:      make(map[string][]snapshotRead),
		violations: slices.Clone(r.violations),
	}
	for _, o := range r.operations {
		ev.operations = append(ev.operations, &o.operation)
	}
	for _, id := range sortedKeys(r.histories) {
		ev.audit(id, r.histories[id])
		ev.checkKeysInHistory(id, r.histories[id])
	}
	for _, l := range r.logs {
		(&stream{evaluation: ev, log: l}).evaluate()
	}
	ev.checkResults()
	ev.checkSnapshotOrder()
	ev.checkLostEpochs()
	ev.checkEffects()
	return ev.violations.tidy()
}

// evaluation is one call of Check.
type evaluation struct {
	options    Options
	histories  map[string]*histories
	losses     map[string][]*loss
	outages    []*outage
	states     map[sharedata.Hash]json.RawMessage
	operations []*Operation // in the order in which they were sent
	// assertions are what frames and results say of entries that are in no
	// recorded history.
	assertions map[position]assertion
	// epochs names, for each epoch of a ShareData, a subscriber or proposer that
	// saw it. removals are the epochs of which a removal was seen.
	epochs   map[string]map[uint64]string
	removals map[string]map[uint64]bool
	// known are the positions that were received, by ShareData, and reads the
	// snapshots that subscribes were answered with.
	known      map[string][]knownPosition
	reads      map[string][]snapshotRead
	violations Violations
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (ev *evaluation) report(v Violation) { ev.violations = append(ev.violations, v) }

func (ev *evaluation) noteKnown(shareData, subscriber string, k knownPosition) {
	ev.known[shareData] = append(ev.known[shareData], k)
	epochs := ev.epochs[shareData]
	if epochs == nil {
		epochs = make(map[uint64]string)
		ev.epochs[shareData] = epochs
	}
	if _, known := epochs[k.cursor.Epoch]; !known {
		epochs[k.cursor.Epoch] = subscriber
	}
}

func (ev *evaluation) noteRemoval(shareData string, epoch uint64) {
	if ev.removals[shareData] == nil {
		ev.removals[shareData] = make(map[uint64]bool)
	}
	ev.removals[shareData][epoch] = true
}

// head returns the end of the history of a ShareData; ok is false where none was
// recorded.
func (ev *evaluation) head(shareData string) (head replay.Cursor, ok bool) {
	h := ev.histories[shareData]
	if h == nil {
		return head, false
	}
	if h.final != nil {
		return h.final.Cursor, true
	}
	for epoch, c := range h.chains {
		if len(c.entries) > 0 && epoch > head.Epoch {
			head, ok = c.entries[len(c.entries)-1].Cursor, true
		}
	}
	return head, ok
}

package checker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Check judges what was recorded so far. It may be called again later; nothing
// is recorded while it runs.
func (r *Recorder) Check(options Options) Violations {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return Violations{{
			Promise: Recorded, Where: fmt.Sprintf("record %d", r.last),
			Explanation: fmt.Sprintf("the recording is full at %d records, so it cannot be judged; record shorter runs", r.limit),
		}}
	}
	j := &judge{
		options:   options.withDefaults(),
		histories: r.histories,
		losses:    r.losses,
		outages:   r.outages,
		states:    r.states,
		last:      r.last,
		witnessed: make(map[position]claim),
		told:      make(map[string]map[uint64]string),
		removals:  make(map[string]map[uint64]bool),
		sightings: make(map[string][]sighting),
		asked:     make(map[string][]question),
		found:     slices.Clone(r.found),
	}
	for _, p := range r.proposals {
		j.answers = append(j.answers, &p.operation)
	}
	for _, id := range sortedKeys(r.histories) {
		j.audit(id, r.histories[id])
		j.onceInHistory(id, r.histories[id])
		j.model(id, r.histories[id])
	}
	for _, l := range r.logs {
		(&stream{judge: j, log: l}).judgeAll()
	}
	j.judgeAnswers()
	j.judgeTime()
	j.judgeLoss()
	j.judgeOperations()
	return j.found.tidy()
}

// judge is one Check.
type judge struct {
	options   Options
	histories map[string]*histories
	losses    map[string][]*loss
	outages   []*outage
	states    map[sharedata.Hash]json.RawMessage
	last      uint64 // the number of the newest record
	answers   []*Operation
	// witnessed is what was seen of entries whose history was not recorded.
	witnessed map[position]claim
	// told says of each epoch of a ShareData who was told of it, and removals
	// in which epochs a removal was seen.
	told     map[string]map[uint64]string
	removals map[string]map[uint64]bool
	// sightings are the positions that somebody knew of, and asked the
	// snapshots that answered a subscribe.
	sightings map[string][]sighting
	asked     map[string][]question
	found     Violations
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (j *judge) report(v Violation) { j.found = append(j.found, v) }

// sighting says that a position was known to somebody at a time, and which
// server had told of it, if that is known.
type sighting struct {
	at     uint64
	cursor replay.Cursor
	server string
}

// question says which snapshot a subscribe that was sent at a time got.
type question struct {
	sighting
	report func(Promise, string, ...any)
}

func (j *judge) sight(shareData, who string, s sighting) {
	j.sightings[shareData] = append(j.sightings[shareData], s)
	epochs := j.told[shareData]
	if epochs == nil {
		epochs = make(map[uint64]string)
		j.told[shareData] = epochs
	}
	if _, known := epochs[s.cursor.Epoch]; !known {
		epochs[s.cursor.Epoch] = who
	}
}

func (j *judge) sawRemoval(shareData string, epoch uint64) {
	if j.removals[shareData] == nil {
		j.removals[shareData] = make(map[uint64]bool)
	}
	j.removals[shareData][epoch] = true
}

// head is where the history of a ShareData ended; ok is false where none was
// recorded.
func (j *judge) head(shareData string) (head replay.Cursor, ok bool) {
	h := j.histories[shareData]
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

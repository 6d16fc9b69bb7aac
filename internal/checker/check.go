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
		states:    r.states,
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
	for _, id := range slices.Sorted(maps.Keys(r.histories)) {
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
	return j.found.tidy()
}

// judge is one Check.
type judge struct {
	options   Options
	histories map[string]*histories
	states    map[sharedata.Hash]json.RawMessage
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

func (j *judge) report(v Violation) { j.found = append(j.found, v) }

// sighting says that a position was known to somebody at a time.
type sighting struct {
	at     uint64
	cursor replay.Cursor
}

// question says which snapshot a subscribe that was sent at a time got.
type question struct {
	sighting
	report func(Promise, string, ...any)
}

func (j *judge) sight(shareData, who string, at uint64, cursor replay.Cursor) {
	j.sightings[shareData] = append(j.sightings[shareData], sighting{at, cursor})
	epochs := j.told[shareData]
	if epochs == nil {
		epochs = make(map[uint64]string)
		j.told[shareData] = epochs
	}
	if _, known := epochs[cursor.Epoch]; !known {
		epochs[cursor.Epoch] = who
	}
}

func (j *judge) sawRemoval(shareData string, epoch uint64) {
	if j.removals[shareData] == nil {
		j.removals[shareData] = make(map[uint64]bool)
	}
	j.removals[shareData][epoch] = true
}

// surelyKept reports whether everything after a position, up to another one of
// the same epoch, was certainly inside the window and in the store.
func (j *judge) surelyKept(shareData string, from, to replay.Cursor) bool {
	missed := to.Revision - from.Revision
	switch {
	case missed == 0:
		return true
	case from.Revision == 0, missed > uint64(j.options.Window), j.options.Retention < 0,
		j.options.Retention > 0 && missed > uint64(j.options.Retention):
		return false
	}
	if h := j.histories[shareData]; h != nil && h.chains[from.Epoch] != nil {
		return from.Revision+1 >= h.chains[from.Epoch].kept
	}
	return true
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

// judgeLoss looks for epochs that are gone without having been removed.
func (j *judge) judgeLoss() {
	if !j.options.Durable {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(j.told)) {
		var lost []uint64
		h := j.histories[id]
		for epoch := range j.told[id] {
			if (h == nil || h.chains[epoch] == nil || len(h.chains[epoch].entries) == 0) && !j.removals[id][epoch] {
				lost = append(lost, epoch)
			}
		}
		if h != nil && len(lost) <= h.removals {
			continue
		}
		slices.Sort(lost)
		for _, epoch := range lost {
			j.report(Violation{
				Promise: CommittedBeforeSeen, ShareData: id, Subscriber: j.told[id][epoch], Where: fmt.Sprintf("epoch %d", epoch),
				Explanation: "it was told of this epoch, whose history is gone though nobody removed it",
			})
		}
	}
}

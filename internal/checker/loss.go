package checker

import (
	"fmt"
	"math"
	"slices"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// loss is a time at which a store lost what it held, on purpose.
type loss struct {
	at uint64 // the number of the record before
	// through is the newest epoch of which something may be gone.
	through uint64
}

// Losing records that the store is about to lose what it holds of the
// ShareData, because the test empties it. From then on nobody is blamed for what
// is gone; but whoever was told of it has to be told so, and what comes after
// must not be passed off as its continuation.
//
// When it is over, lost is called with the newest epoch that the store may have
// held meanwhile: what was begun later is judged as ever.
func (r *Recorder) Losing(shareData ...string) (lost func(through uint64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &loss{at: r.last, through: math.MaxUint64}
	for _, id := range shareData {
		r.losses[id] = append(r.losses[id], l)
	}
	return func(through uint64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		l.through = through
	}
}

// HistorySoFar records entries as History does, of a history that goes on and
// whose end may never be read: before a removal, or before the store loses it.
// What is beyond them is judged like a history that was not recorded.
func (r *Recorder) HistorySoFar(entries []sharedata.Entry) { r.history(entries, true) }

// outage is a time, in numbers of records, in which servers may not have been
// able to read their store.
type outage struct{ began, ended uint64 }

// OutOfReach records that servers may not be able to read from their store from
// now on, until back is called: meanwhile a cursor may be resumed or not, but
// none in part and none in silence.
func (r *Recorder) OutOfReach() (back func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &outage{r.last, math.MaxUint64}
	r.outages = append(r.outages, o)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		o.ended = r.last
	}
}

// outOfReach reports whether the store may have been out of reach some time
// between two records.
func (j *judge) outOfReach(from, to uint64) bool {
	return slices.ContainsFunc(j.outages, func(o *outage) bool { return o.began < to && from <= o.ended })
}

// mayBeLost reports whether the store may have lost something of an epoch
// before the record at.
func (j *judge) mayBeLost(shareData string, epoch, at uint64) bool {
	return slices.ContainsFunc(j.losses[shareData], func(l *loss) bool { return epoch <= l.through && l.at < at })
}

// surelyKept reports whether everything after a position, up to another one of
// the same epoch, was certainly inside the window and could be read from the
// store all the time between the records asked and at.
func (j *judge) surelyKept(shareData string, from, to replay.Cursor, asked, at uint64) bool {
	missed := to.Revision - from.Revision
	switch {
	case missed == 0:
		return true
	case from.Revision == 0, missed > uint64(j.options.Window), j.options.Retention < 0,
		j.options.Retention > 0 && missed > uint64(j.options.Retention),
		j.mayBeLost(shareData, from.Epoch, at), j.outOfReach(asked, at):
		return false
	}
	if h := j.histories[shareData]; h != nil && h.chains[from.Epoch] != nil {
		return from.Revision+1 >= h.chains[from.Epoch].kept
	}
	return true
}

// judgeLoss looks for epochs that are gone without having been removed.
func (j *judge) judgeLoss() {
	if !j.options.Durable {
		return
	}
	for _, id := range sortedKeys(j.told) {
		var lost []uint64
		h := j.histories[id]
		for epoch := range j.told[id] {
			if !h.has(epoch) && !j.removals[id][epoch] && !j.mayBeLost(id, epoch, math.MaxUint64) {
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

// has reports whether the history of an epoch was recorded to its end.
func (h *histories) has(epoch uint64) bool {
	return h != nil && h.chains[epoch] != nil && len(h.chains[epoch].entries) > 0 && !h.chains[epoch].partial
}

package checker

import (
	"fmt"
	"math"
	"slices"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// loss is a time at which the test made the store lose data, or removed a ShareData.
type loss struct {
	at uint64 // the last record before it
	// through is the newest epoch of which data may be lost.
	through uint64
}

// Losing records that the test is about to make the store lose the data of the
// ShareData. Lost data is no violation then. It still is one if a later history
// passes for the continuation of a lost one, or if a subscriber of a lost one is
// not notified.
//
// Call lost when the loss is over, with the newest epoch that the store may have
// held by then: data of later epochs must not be lost.
func (r *Recorder) Losing(shareData ...string) (lost func(through uint64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &loss{at: r.last, through: math.MaxUint64}
	for _, id := range shareData {
		r.losses[id] = append(r.losses[id], l)
	}
	return r.setThrough(l)
}

func (r *Recorder) setThrough(l *loss) func(through uint64) {
	return func(through uint64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		l.through = through
	}
}

// PartialHistory records entries like History, of a history whose end may never be
// read: before a removal, or before the store loses it. Frames of entries after
// them are compared with each other instead.
func (r *Recorder) PartialHistory(entries []sharedata.Entry) { r.history(entries, true) }

// outage is the time between two records, in which servers may have been unable to
// read their store.
type outage struct{ began, ended uint64 }

// StoreUnreachable records that servers may be unable to read their store from now
// on until restored is called. A server may then resume from a cursor or answer
// "cursor not found", but not replay a part, nor omit the answer.
func (r *Recorder) StoreUnreachable() (restored func()) {
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

// storeUnreachable reports whether the store may have been unreachable at some time
// between two records.
func (ev *evaluation) storeUnreachable(from, to uint64) bool {
	return slices.ContainsFunc(ev.outages, func(o *outage) bool { return o.began < to && from <= o.ended })
}

// mayBeLost reports whether the store may have lost data of an epoch before the
// record at.
func (ev *evaluation) mayBeLost(shareData string, epoch, at uint64) bool {
	return anyOf(ev.losses[shareData], epoch, at)
}

func anyOf(losses []*loss, epoch, at uint64) bool {
	return slices.ContainsFunc(losses, func(l *loss) bool { return epoch <= l.through && l.at < at })
}

// surelyKept reports whether the entries after a position, up to another one of the
// same epoch, were certainly inside the window and readable between the records
// asked and at.
func (ev *evaluation) surelyKept(shareData string, from, to replay.Cursor, asked, at uint64) bool {
	missed := to.Revision - from.Revision
	switch {
	case missed == 0:
		return true
	case from.Revision == 0, missed > uint64(ev.options.Window), ev.options.Retention < 0,
		ev.options.Retention > 0 && missed > uint64(ev.options.Retention),
		ev.mayBeLost(shareData, from.Epoch, at), ev.storeUnreachable(asked, at):
		return false
	}
	h := ev.histories[shareData]
	switch {
	case h == nil:
		return true
	case anyOf(h.removals, from.Epoch, at):
		return false
	}
	c := h.chains[from.Epoch]
	return c == nil || from.Revision+1 >= c.kept
}

// checkLostEpochs looks for epochs that are lost although they were not removed.
func (ev *evaluation) checkLostEpochs() {
	if !ev.options.Durable {
		return
	}
	for _, id := range sortedKeys(ev.epochs) {
		var lost []uint64
		h := ev.histories[id]
		for epoch := range ev.epochs[id] {
			if !h.has(epoch) && !ev.removals[id][epoch] && !ev.mayBeLost(id, epoch, math.MaxUint64) {
				lost = append(lost, epoch)
			}
		}
		if h != nil && len(lost) <= len(h.removals) {
			continue
		}
		slices.Sort(lost)
		for _, epoch := range lost {
			ev.report(Violation{
				Promise: CommittedBeforeSeen, ShareData: id, Subscriber: ev.epochs[id][epoch], Where: fmt.Sprintf("epoch %d", epoch),
				Explanation: "it saw this epoch, whose history is lost although it was not removed",
			})
		}
	}
}

// has reports whether the history of an epoch was recorded up to its end.
func (h *histories) has(epoch uint64) bool {
	return h != nil && h.chains[epoch] != nil && len(h.chains[epoch].entries) > 0 && !h.chains[epoch].partial
}

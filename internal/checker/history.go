package checker

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/safe-go/safe/sharedata"
)

// histories are the recorded histories of one ShareData.
type histories struct {
	chains map[uint64]*chain // by epoch
	// final is the snapshot that Final was given; nil for none.
	final *sharedata.Snapshot
	// removals are the calls of Removing.
	removals []*loss
}

// chain is the history of one epoch.
type chain struct {
	// entries are sorted by revision, each there once. A hole is a revision that was
	// not recorded.
	entries []sharedata.Entry
	// kept is the oldest revision that History was given; 0 if it was given none.
	// The store may have dropped older ones.
	kept uint64
	// partial says that the store may have more than was recorded.
	partial bool
	// unknown are revisions that an observer was not notified of, or that the store
	// dropped before the history was read again.
	unknown []span
}

// History records entries as they were read from the store, in the order of
// reading; of one ShareData, or of several one after the other. They are all
// entries that the store keeps at the end of the run.
func (r *Recorder) History(entries []sharedata.Entry) { r.history(entries, false) }

func (r *Recorder) history(entries []sharedata.Entry, partial bool) {
	for len(entries) > 0 {
		first := entries[0]
		n := 1
		for n < len(entries) && entries[n].ShareDataID == first.ShareDataID && entries[n].Cursor.Epoch == first.Cursor.Epoch {
			n++
		}
		r.historyOfOne(entries[:n], partial)
		entries = entries[n:]
	}
}

func (r *Recorder) historyOfOne(entries []sharedata.Entry, partial bool) {
	violation, broken := verify(entries)
	r.mu.Lock()
	defer r.mu.Unlock()
	if broken {
		r.violations = append(r.violations, violation)
	}
	oldest := entries[0].Cursor.Revision
	if c := r.chainLocked(entries[0]); len(c.entries) > 0 && oldest > c.newest()+1 {
		// The store dropped these before they were read.
		c.unknown = append(c.unknown, span{c.newest() + 1, oldest - 1})
	}
	for _, e := range entries {
		oldest = min(oldest, e.Cursor.Revision)
		r.addEntryLocked(e)
	}
	c := r.chainLocked(entries[0])
	c.kept, c.partial = max(c.kept, oldest), partial
}

// Observe records entries as they are committed. It makes a Recorder a
// sharedata.Observer: manager.ObserveAll(recorder) records the histories of the
// run, also those of ShareData that are removed later. Managers that share a store
// may use one Recorder, which compares their entries.
func (r *Recorder) Observe(events []sharedata.Event) {
	for _, event := range events {
		if event.Type == sharedata.EntryCreated || event.Type == sharedata.EntryUpdated {
			r.keepState(event.State)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range events {
		switch c := r.chainLocked(event.Entry); {
		case !event.Reset:
			r.addEntryLocked(event.Entry)
		case event.Type != sharedata.EntryRemoved:
			c.unknown = append(c.unknown, span{c.newest() + 1, event.Cursor.Revision})
		}
	}
}

// Final records the snapshot of a ShareData at the end of the run.
func (r *Recorder) Final(snapshot sharedata.Snapshot) {
	r.keepState(snapshot.State)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.historiesLocked(snapshot.ID).final = &snapshot
}

// Removing records that the test is about to remove the ShareData, whether or not
// that succeeds: its entries may not be readable any more, even before subscribers are
// told. Options.Durable uses it, too. Call removed as Losing says of lost.
func (r *Recorder) Removing(shareData string) (removed func(through uint64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.historiesLocked(shareData)
	l := &loss{at: r.last, through: math.MaxUint64}
	h.removals = append(h.removals, l)
	return r.setThrough(l)
}

func (r *Recorder) historiesLocked(shareData string) *histories {
	h := r.histories[shareData]
	if h == nil {
		h = &histories{chains: make(map[uint64]*chain)}
		r.histories[shareData] = h
	}
	return h
}

func (r *Recorder) chainLocked(e sharedata.Entry) *chain {
	h := r.historiesLocked(e.ShareDataID)
	c := h.chains[e.Cursor.Epoch]
	if c == nil {
		c = &chain{}
		h.chains[e.Cursor.Epoch] = c
	}
	return c
}

// addEntryLocked adds an entry unless it is there. A different entry at its
// position is a revision that was decided twice.
func (r *Recorder) addEntryLocked(e sharedata.Entry) {
	c := r.chainLocked(e)
	i, there := c.find(e.Cursor.Revision)
	switch {
	case !there:
		if r.nextLocked() != 0 {
			c.entries = slices.Insert(c.entries, i, e)
		}
	case c.entries[i].Hash != e.Hash:
		r.violations = append(r.violations, Violation{
			Promise: OneWinner, ShareData: e.ShareDataID, Where: e.Cursor.String(),
			Explanation: fmt.Sprintf("two entries were committed at this position, with the hashes %.8s… and %.8s…", c.entries[i].Hash, e.Hash),
		})
	}
}

// inOrder returns the chains in the order of their epochs.
func (h *histories) inOrder() []*chain {
	var chains []*chain
	for _, epoch := range slices.Sorted(maps.Keys(h.chains)) {
		chains = append(chains, h.chains[epoch])
	}
	return chains
}

// find returns the index of a revision among the entries, and whether it is there.
func (c *chain) find(revision uint64) (int, bool) {
	n := len(c.entries)
	if n == 0 || c.newest() < revision {
		return n, false
	}
	if i := revision - c.oldest(); i < uint64(n) && c.entries[i].Cursor.Revision == revision {
		return int(i), true // there is no hole before it
	}
	i := sort.Search(n, func(i int) bool { return c.entries[i].Cursor.Revision >= revision })
	return i, c.entries[i].Cursor.Revision == revision
}

// entry returns the entry of a revision; nil if it was not recorded.
func (c *chain) entry(revision uint64) *sharedata.Entry {
	if i, ok := c.find(revision); ok {
		return &c.entries[i]
	}
	return nil
}

func (c *chain) oldest() uint64 {
	if len(c.entries) == 0 {
		return 0
	}
	return c.entries[0].Cursor.Revision
}

func (c *chain) newest() uint64 {
	if len(c.entries) == 0 {
		return 0
	}
	return c.entries[len(c.entries)-1].Cursor.Revision
}

// missing reports whether an entry at the revision would have been recorded, and
// was not.
func (c *chain) missing(revision uint64) bool {
	if len(c.entries) == 0 || revision < c.oldest() || c.partial && revision > c.newest() || c.entry(revision) != nil {
		return false
	}
	return !slices.ContainsFunc(c.unknown, func(s span) bool { return s.first <= revision && revision <= s.last })
}

// lastTransaction returns the revision of the newest transaction up to a revision,
// 0 for none. known is false where too little was recorded.
func (c *chain) lastTransaction(revision uint64) (last uint64, known bool) {
	i, ok := c.find(revision)
	if !ok {
		return 0, false
	}
	for ; i >= 0; i-- {
		switch e := &c.entries[i]; {
		case e.Cursor.Revision != revision:
			return 0, false // a hole
		case e.Type == sharedata.EntryTransaction:
			return revision, true
		}
		revision--
	}
	return 0, revision == 0
}

package realtime

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/safe-go/safe/replay"
)

// replayCache has the replayed frames of a channel's newest entries, as far as
// subscribers have asked for them: those that return together, as after an outage, are
// replayed the same entries, which are read and encoded once.
type replayCache struct {
	total *atomic.Int64 // bytes in all caches of the server

	mu     sync.Mutex
	closed bool        // it keeps nothing any more
	runs   []replayRun // one for each form
}

// replayRun has the frames of consecutive entries in one form.
type replayRun struct {
	form    form
	after   replay.Cursor // of the entry before the first
	entries []replayedEntry
	bytes   int
}

// replayedEntry is the frame of an entry.
type replayedEntry struct {
	frame *frame
	// update says that it is sent only to subscribers who ask for updates.
	update bool
	// unrecorded is that of a page.
	unrecorded bool
}

// What the caches may take: that of one channel in one form, and all of them.
const (
	maxReplayRunBytes   = 64 << 10
	maxReplayCacheBytes = 32 << 20
)

func (r *replayRun) last() replay.Cursor {
	return replay.Cursor{Epoch: r.after.Epoch, Revision: r.after.Revision + uint64(len(r.entries))}
}

// find returns the entries after a cursor, up to another one at most; none if they have
// to be read. The result is shared.
func (c *replayCache) find(f form, after, upTo replay.Cursor) []replayedEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.runLocked(f)
	first, last := r.after.Revision, min(r.last().Revision, upTo.Revision)
	if after.Epoch != r.after.Epoch || after.Revision < first || after.Revision >= last {
		return nil
	}
	return r.entries[after.Revision-first : last-first : last-first]
}

// add keeps entries that were read, as far as there is room: the newest ones.
func (c *replayCache) add(f form, after replay.Cursor, entries []replayedEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	r := c.runLocked(f)
	added := replayRun{form: f, after: after, entries: entries}
	switch {
	case r.after.Epoch == after.Epoch && added.last().Revision <= r.last().Revision:
		return // older than what is kept
	case r.after.Epoch == after.Epoch && after.Revision >= r.after.Revision && after.Revision <= r.last().Revision:
		added.after = r.after
		added.entries = append(slices.Clip(r.entries[:after.Revision-r.after.Revision]), entries...)
	}
	for i := len(added.entries) - 1; i >= 0; i-- {
		size := added.entries[i].frame.size()
		if added.bytes+size > maxReplayRunBytes {
			added.entries = slices.Clone(added.entries[i+1:])
			added.after.Revision += uint64(i + 1)
			break
		}
		added.bytes += size
	}
	if c.total.Add(int64(added.bytes-r.bytes)) > maxReplayCacheBytes {
		c.total.Add(-int64(added.bytes))
		added = replayRun{form: f}
	}
	*r = added
}

// close forgets everything for good: a subscription that has ended may still read.
func (c *replayCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for i := range c.runs {
		c.total.Add(-int64(c.runs[i].bytes))
	}
	c.runs = nil
}

// runLocked returns the run in a form.
func (c *replayCache) runLocked(f form) *replayRun {
	for i := range c.runs {
		if c.runs[i].form == f {
			return &c.runs[i]
		}
	}
	c.runs = append(c.runs, replayRun{form: f})
	return &c.runs[len(c.runs)-1]
}

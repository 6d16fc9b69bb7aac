package realtime

import (
	"context"
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// page is a part of a replay: the frames of the entries up to last. There may
// be fewer frames than entries, because only subscribers who ask for it are
// replayed updates.
type page struct {
	frames []frame
	last   replay.Cursor
}

func (p page) isZero() bool { return p.last.IsZero() }

// chunk returns how many of the frames fit into most bytes, at least one.
func (p page) chunk(most int) int {
	bytes := 0
	for n, f := range p.frames {
		if bytes += len(f); n > 0 && bytes > most {
			return n
		}
	}
	return len(p.frames)
}

// A page is bounded in entries and in bytes of their data, which the frames do
// not carry.
const (
	pageEntries   = 256
	pageDataBytes = 256 << 10
)

// readPage reads the first entries after a cursor, but none after upTo: the
// store may hold entries that observers have not been notified of, and those
// are sent live. If there are no entries, the page ends at the cursor. lifecycle
// says whether updates are among the frames.
func readPage(ctx context.Context, manager *sharedata.Manager, id string, after, upTo replay.Cursor, lifecycle bool) (page, error) {
	p := page{last: after}
	entries, dataBytes := 0, 0
	for entry, err := range manager.History(ctx, id, after) {
		if err != nil {
			return page{}, err
		}
		f := replayedFrame(entry)
		switch {
		case entry.Type == sharedata.EntryRemoved:
			return p, nil
		case f == nil || entry.Cursor != p.last.Next():
			return page{}, fmt.Errorf("entry %s of type %q cannot be replayed after %s", entry.Cursor, entry.Type, p.last)
		}
		p.last = entry.Cursor
		if entry.Type == sharedata.EntryTransaction || lifecycle {
			p.frames = append(p.frames, f)
		}
		entries++
		dataBytes += len(entry.Data)
		if p.last == upTo || entries == pageEntries || dataBytes >= pageDataBytes {
			break
		}
	}
	return p, nil
}

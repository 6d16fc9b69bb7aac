package realtime

import (
	"context"
	"fmt"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// page is a part of a replay: the frames of the entries up to last. There may
// be fewer frames than entries, because only subscribers who ask for it are
// replayed updates.
type page struct {
	frames []*frame
	last   replay.Cursor
	// unrecorded says that an entry does not say what it changed, so that no frames
	// lead from the state before it to the one after it.
	unrecorded bool
}

func (p page) isZero() bool { return p.last.IsZero() }

// chunk returns how many of the frames fit into most bytes, at least one, and no more than
// a number of them.
func (p page) chunk(most, frames int) int {
	bytes := 0
	for n, f := range p.frames {
		if bytes += f.size(); n > 0 && (bytes > most || n == frames) {
			return n
		}
	}
	return len(p.frames)
}

// A page is bounded in entries, and in bytes of their frames and of their data,
// which not all frames carry.
const (
	pageEntries = 256
	pageBytes   = 256 << 10
)

// readPage reads the first entries after a cursor, but none after upTo: the
// store may hold entries that observers have not been notified of, and those
// are sent live. If there are no entries, the page ends at the cursor. The request
// says which frames there are, and in which form.
func (c *channel) readPage(ctx context.Context, request *wire.Subscribe, form form, after, upTo replay.Cursor) (page, error) {
	entries := c.replays.find(form, after, upTo)
	if entries == nil {
		var err error
		if entries, err = readEntries(ctx, c.hub.manager, c.id, form, after, upTo); err != nil {
			return page{}, err
		}
		c.replays.add(form, after, entries)
	}
	p := page{last: replay.Cursor{Epoch: after.Epoch, Revision: after.Revision + uint64(len(entries))}}
	for _, e := range entries {
		p.unrecorded = p.unrecorded || e.unrecorded
		if !e.update || request.ReplayLifecycle {
			p.frames = append(p.frames, e.frame)
		}
	}
	return p, nil
}

// readEntries reads and encodes the first entries after a cursor.
func readEntries(ctx context.Context, manager *sharedata.Manager, id string, f form, after, upTo replay.Cursor) (entries []replayedEntry, err error) {
	bytes, last := 0, after
	for entry, err := range manager.History(ctx, id, after) {
		if err != nil {
			return nil, err
		}
		e := replayedEntry{
			frame:      replayedFrame(&entry, f),
			update:     entry.Type != sharedata.EntryTransaction,
			unrecorded: !entry.RecordsEffect(),
		}
		switch {
		case entry.Type == sharedata.EntryRemoved:
			return entries, nil
		case e.frame == nil || entry.Cursor != last.Next():
			return nil, fmt.Errorf("entry %s of type %q cannot be replayed after %s", entry.Cursor, entry.Type, last)
		}
		last = entry.Cursor
		entries = append(entries, e)
		bytes += e.frame.size() + len(entry.Data)
		if last == upTo || len(entries) == pageEntries || bytes >= pageBytes {
			break
		}
	}
	return entries, nil
}

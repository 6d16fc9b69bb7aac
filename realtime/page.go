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
	frames []frame
	last   replay.Cursor
	// unrecorded says that an entry does not say what it changed, so that no frames
	// lead from the state before it to the one after it.
	unrecorded bool
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
func readPage(ctx context.Context, manager *sharedata.Manager, request *wire.Subscribe, after, upTo replay.Cursor) (page, error) {
	p := page{last: after}
	entries, bytes := 0, 0
	form := formOf(request)
	for entry, err := range manager.History(ctx, request.ShareDataID, after) {
		if err != nil {
			return page{}, err
		}
		f := replayedFrame(&entry, form)
		switch {
		case entry.Type == sharedata.EntryRemoved:
			return p, nil
		case f == nil || entry.Cursor != p.last.Next():
			return page{}, fmt.Errorf("entry %s of type %q cannot be replayed after %s", entry.Cursor, entry.Type, p.last)
		}
		p.last = entry.Cursor
		p.unrecorded = p.unrecorded || !recordsEffect(&entry)
		if entry.Type == sharedata.EntryTransaction || request.ReplayLifecycle {
			p.frames = append(p.frames, f)
			bytes += len(f)
		}
		entries++
		bytes += len(entry.Data)
		if p.last == upTo || entries == pageEntries || bytes >= pageBytes {
			break
		}
	}
	return p, nil
}

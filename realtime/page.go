package realtime

import (
	"context"
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// page is a run of replayed frames: those of the entries that follow after,
// one each; nil for one that its subscriber is not told of.
type page struct {
	after  replay.Cursor
	frames []frame
}

// last is the position of the last frame.
func (p page) last() replay.Cursor {
	return replay.Cursor{Epoch: p.after.Epoch, Revision: p.after.Revision + uint64(len(p.frames))}
}

// upTo returns the part of the page that is not beyond a position: the store
// may hold entries that observers have not been told of, which come live.
func (p page) upTo(last replay.Cursor) page {
	if n := last.Revision - p.after.Revision; uint64(len(p.frames)) > n {
		p.frames = p.frames[:n]
	}
	return p
}

// from returns the page without its first n frames.
func (p page) from(n int) page {
	p.after.Revision += uint64(n)
	p.frames = p.frames[n:]
	return p
}

// A page is read from the store at once. It is bounded in entries and in
// bytes of their data, which the replayed frames do not carry.
const (
	pageEntries = 256
	pageBytes   = 256 << 10
)

// readPage reads the first entries after a cursor. Unless there are none, the
// page has at least one frame; an error means that it has no frames. lifecycle
// says whether the subscriber is told of updates.
func readPage(ctx context.Context, manager *sharedata.Manager, id string, after replay.Cursor, lifecycle bool) (page, error) {
	p := page{after: after}
	read := 0
	for entry, err := range manager.History(ctx, id, after) {
		if err != nil {
			return page{after: after}, err
		}
		f := replayedFrame(entry)
		switch {
		case entry.Type == sharedata.EntryRemoved:
			return p, nil
		case f == nil || entry.Cursor != p.last().Next():
			return page{after: after}, fmt.Errorf("entry %s of type %q cannot be replayed after %s", entry.Cursor, entry.Type, p.last())
		}
		if entry.Type == sharedata.EntryUpdated && !lifecycle {
			f = nil
		}
		p.frames = append(p.frames, f)
		if read += len(entry.Data); len(p.frames) == pageEntries || read >= pageBytes {
			break
		}
	}
	return p, nil
}

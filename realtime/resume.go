package realtime

import (
	"fmt"

	"github.com/safe-go/safe/replay"
)

// resumption says how a subscription begins.
type resumption struct {
	// from and count are the entries that its subscriber missed: the count
	// that follow from. 0 where it missed none or is not resumed.
	from  replay.Cursor
	count uint64
	// problem says why it cannot be resumed; empty if it can, or if nobody
	// asked for that.
	problem string
}

// resume decides how a subscriber who was last told of since goes on at head.
// It is never a guess: a cursor that does not name an entry of this very
// history, inside the window, resumes nothing.
func resume(head replay.Cursor, since string, window int) resumption {
	if since == "" {
		return resumption{}
	}
	from, err := replay.ParseCursor(since)
	switch {
	case err != nil:
		return notResumed("since is not a cursor of this server")
	case from.Epoch != head.Epoch:
		return notResumed("since is a cursor of another history: the ShareData was created anew, or the server keeps no history across restarts")
	case from.Revision > head.Revision:
		return notResumed("since is beyond the newest entry")
	case from.Revision == 0:
		return notResumed("since is the position before the first entry, which is not replayed")
	}
	missed := head.Revision - from.Revision
	if missed > uint64(window) {
		return notResumed(fmt.Sprintf("since is %d entries old; at most %d are replayed", missed, window))
	}
	return resumption{from: from, count: missed}
}

// isAhead reports whether since, if it is a cursor, is later than head.
func isAhead(since string, head replay.Cursor) bool {
	at, err := replay.ParseCursor(since)
	return err == nil && (at.Epoch > head.Epoch || at.Epoch == head.Epoch && at.Revision > head.Revision)
}

func notResumed(why string) resumption {
	return resumption{problem: why + "; what was missed is not replayed, the state is current"}
}

package realtime

import (
	"fmt"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
)

// resumption says how a subscription begins.
type resumption struct {
	// count entries that follow from are to be replayed; count is 0 where
	// nothing is.
	from  replay.Cursor
	count uint64
	// resumed says that the subscriber goes on from what it has seen.
	resumed bool
	// problem says why the subscription is not resumed; empty if it is, or if
	// the subscriber did not ask for that.
	problem string
}

// resume decides how a subscriber who has seen the history up to the cursor
// since goes on at head. It never guesses: a cursor that does not name an entry
// of this very history, inside the window, resumes nothing.
func resume(head replay.Cursor, since string, window int) resumption {
	if since == "" {
		return resumption{}
	}
	from, err := replay.ParseCursor(since)
	switch {
	case err != nil:
		return notResumed("since is not a cursor of this server")
	case from.Epoch != head.Epoch:
		return notResumed("since is a cursor of another history: the ShareData was re-created, or the server keeps no history across restarts")
	case from.Revision > head.Revision:
		return notResumed("since is beyond the newest entry")
	case from.Revision == 0:
		return notResumed("since is the position before the first entry, which is not replayed")
	}
	missed := head.Revision - from.Revision
	if missed > uint64(window) {
		return notResumed(fmt.Sprintf("since is %d entries old; at most %d are replayed", missed, window))
	}
	return resumption{from: from, count: missed, resumed: true}
}

// extras returns what the state frame says. A subscriber with patches that resumes
// has the state already. It is sent that all the same if it asked for it, or if some
// entries that it missed do not say what they changed (unrecorded).
func (r resumption) extras(request *wire.Subscribe, f form, unrecorded bool) stateExtras {
	resumed := request.Patches && r.resumed
	if f.protocol != nil {
		return stateExtras{replaying: r.count, resumed: r.resumed, protocol: f.protocol}
	}
	return stateExtras{
		replaying:    r.count,
		announce:     request.ReplayLifecycle,
		withHash:     request.Patches,
		resumed:      resumed,
		withoutState: resumed && !request.IncludeState && !unrecorded,
	}
}

func notResumed(why string) resumption {
	return resumption{problem: why + "; what was missed is not replayed, the state is current"}
}

// isAhead reports whether since, if it is a cursor, is later than head.
func isAhead(since string, head replay.Cursor) bool {
	at, err := replay.ParseCursor(since)
	return err == nil && at.After(head)
}

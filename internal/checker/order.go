package checker

import (
	"cmp"
	"slices"
	"sort"

	"github.com/safe-go/safe/replay"
)

// knownPosition is a position that a subscriber or proposer received, with the
// number of the record and the server that it came from, if that is known.
type knownPosition struct {
	at     uint64
	cursor replay.Cursor
	server string
}

// snapshotRead is the snapshot that answered a subscribe. at is the record of the
// subscribe.
type snapshotRead struct {
	knownPosition
	report func(Promise, string, ...any)
}

// timeline has the positions of one ShareData that were newer than all positions
// received before, in the order of time.
type timeline []knownPosition

func newTimeline(known []knownPosition) timeline {
	known = slices.Clone(known)
	slices.SortFunc(known, func(a, b knownPosition) int { return cmp.Compare(a.at, b.at) })
	var t timeline
	for _, k := range known {
		if len(t) == 0 || k.cursor.After(t[len(t)-1].cursor) {
			t = append(t, k)
		}
	}
	return t
}

// before returns the newest position that was received before a record.
func (t timeline) before(at uint64) replay.Cursor {
	i := sort.Search(len(t), func(i int) bool { return t[i].at >= at })
	if i == 0 {
		return replay.Cursor{}
	}
	return t[i-1].cursor
}

// noteRead keeps a snapshot for checkSnapshotOrder.
func (ev *evaluation) noteRead(shareData string, k knownPosition, report func(Promise, string, ...any)) {
	if ev.options.FreshReads || k.server != "" {
		ev.reads[shareData] = append(ev.reads[shareData], snapshotRead{k, report})
	}
}

// checkSnapshotOrder demands that a snapshot is not older than what was received
// before its subscribe was sent: from any server, or else from the same server.
func (ev *evaluation) checkSnapshotOrder() {
	for _, shareData := range sortedKeys(ev.reads) {
		all := newTimeline(ev.known[shareData])
		byServer := make(map[string][]knownPosition)
		for _, k := range ev.known[shareData] {
			byServer[k.server] = append(byServer[k.server], k)
		}
		timelines := make(map[string]timeline)
		for server, known := range byServer {
			timelines[server] = newTimeline(known)
		}
		for _, read := range ev.reads[shareData] {
			newest, source := all.before(read.at), "received"
			if !ev.options.FreshReads {
				newest, source = timelines[read.server].before(read.at), "received from the same server"
			}
			if newest.After(read.cursor) {
				read.report(OneWinner, "the state is at %s, but %s was %s before the subscribe was sent", read.cursor, newest, source)
			}
		}
	}
}

package checker

import (
	"cmp"
	"slices"
	"sort"

	"github.com/safe-go/safe/replay"
)

// timeline says how far a history was known to be at each time: of the
// sightings only those that were newer than all before them, in order.
type timeline []sighting

func newTimeline(sightings []sighting) timeline {
	sightings = slices.Clone(sightings)
	slices.SortFunc(sightings, func(a, b sighting) int { return cmp.Compare(a.at, b.at) })
	var t timeline
	for _, s := range sightings {
		if len(t) == 0 || later(s.cursor, t[len(t)-1].cursor) {
			t = append(t, s)
		}
	}
	return t
}

// later reports whether a comes after b; a later epoch has a larger number.
func later(a, b replay.Cursor) bool {
	return a.Epoch > b.Epoch || a.Epoch == b.Epoch && a.Revision > b.Revision
}

// before is the newest position that was known before a time.
func (t timeline) before(at uint64) replay.Cursor {
	i := sort.Search(len(t), func(i int) bool { return t[i].at >= at })
	if i == 0 {
		return replay.Cursor{}
	}
	return t[i-1].cursor
}

// sentBeforeDecided compares the order in the history with that in time: a
// proposal cannot be decided at a position that was known, to anybody, before
// it was sent. If A was answered before B was sent, A's revision is below B's.
func (j *judge) sentBeforeDecided(verdicts []verdict) {
	sent := make(map[keyOf]uint64) // when a key was sent first
	for _, o := range j.answers {
		k := keyOf{shareData: o.Proposal.ShareData, subject: o.Proposal.Subject, key: o.Proposal.Key}
		if _, again := sent[k]; !again && k.key != "" {
			sent[k] = o.SendOrder
		}
	}
	type incarnation struct {
		shareData string
		epoch     uint64
	}
	timelines := make(map[incarnation]timeline)
	for shareData, sightings := range j.sightings {
		byEpoch := make(map[uint64][]sighting)
		for _, s := range sightings {
			byEpoch[s.cursor.Epoch] = append(byEpoch[s.cursor.Epoch], s)
		}
		for epoch, s := range byEpoch {
			timelines[incarnation{shareData, epoch}] = newTimeline(s)
		}
	}
	for _, v := range verdicts {
		at := v.SendOrder
		if v.Proposal.Key != "" {
			at = sent[keyOf{shareData: v.Proposal.ShareData, subject: v.Proposal.Subject, key: v.Proposal.Key}]
		}
		known := timelines[incarnation{v.Proposal.ShareData, v.cursor.Epoch}].before(at)
		if known.Revision >= v.cursor.Revision {
			j.reportAnswer(v.Operation, OneWinner, "it was %s, but %s was known before it was sent", v.Answer, known)
		}
	}
}

// question notes which snapshot a subscribe got.
func (j *judge) question(shareData string, got sighting, report func(Promise, string, ...any)) {
	if j.options.FreshReads || got.server != "" {
		j.asked[shareData] = append(j.asked[shareData], question{got, report})
	}
}

// judgeTime holds snapshots against what was known when they were asked for: to
// anybody, or else from the same server.
func (j *judge) judgeTime() {
	for _, shareData := range sortedKeys(j.asked) {
		known := newTimeline(j.sightings[shareData])
		byServer := make(map[string][]sighting)
		for _, s := range j.sightings[shareData] {
			byServer[s.server] = append(byServer[s.server], s)
		}
		told := make(map[string]timeline)
		for server, sightings := range byServer {
			told[server] = newTimeline(sightings)
		}
		for _, q := range j.asked[shareData] {
			newest, from := known.before(q.at), "known"
			if !j.options.FreshReads {
				newest, from = told[q.server].before(q.at), "told of by the same server"
			}
			if later(newest, q.cursor) {
				q.report(OneWinner, "the state is of %s, but %s was %s before it was asked for", q.cursor, newest, from)
			}
		}
	}
}

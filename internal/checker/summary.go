package checker

import (
	"fmt"

	"github.com/safe-go/safe/schemas/codes"
)

// Summary counts what was recorded, so that a test can fail where too little
// happened to prove anything.
type Summary struct {
	// States are the snapshots. Resumed are those that announce a replay, or that a
	// client called resumed. Gaps are gaps and "cursor not found".
	States, Resumed, Gaps int
	// LeftOut are states that a subscriber was not sent because it has them.
	LeftOut int
	// Skips are states that say how many entries they skipped. Patched are frames
	// and events with patches whose states were computed.
	Skips, Patched int
	// Live and Replayed are frames of entries, including Removals.
	Live, Replayed, Removals int
	// Disconnects are lost connections, FellBehind those closed with 4001.
	Disconnects, FellBehind int
	// Proposals are the sum of the next four. Refused are results without a
	// transaction, Unanswered are proposals without a result.
	Proposals, Accepted, Rejected, Refused, Unanswered int
	// Duplicates are results that repeat an earlier verdict.
	Duplicates int
	// Administered are creations and wholesale updates that were acknowledged.
	Administered int
	// Histories are the epochs of which entries were recorded, Entries are these.
	Histories, Entries int
}

// String returns the figures that are not zero.
func (s Summary) String() string {
	text := ""
	for _, figure := range []struct {
		n    int
		name string
	}{
		{s.States, "states"}, {s.Resumed, "resumed"}, {s.Gaps, "gaps"}, {s.LeftOut, "states left out"}, {s.Skips, "skips"}, {s.Patched, "patched"}, {s.Live, "live frames"},
		{s.Replayed, "replayed frames"}, {s.Removals, "removals"}, {s.Disconnects, "disconnects"},
		{s.FellBehind, "fell behind"}, {s.Proposals, "proposals"}, {s.Accepted, "accepted"},
		{s.Rejected, "rejected"}, {s.Refused, "refused"}, {s.Unanswered, "unanswered"},
		{s.Duplicates, "duplicates"}, {s.Administered, "creations and updates"},
		{s.Histories, "histories"}, {s.Entries, "entries"},
	} {
		if figure.n != 0 {
			text += fmt.Sprintf(", %d %s", figure.n, figure.name)
		}
	}
	if text == "" {
		return "nothing recorded"
	}
	return text[2:]
}

// Summary counts what has been recorded so far.
func (r *Recorder) Summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s Summary
	for _, l := range r.logs {
		for i := range l.records {
			l.records[i].count(&s)
		}
	}
	for _, p := range r.operations {
		p.operation.count(&s)
	}
	for _, h := range r.histories {
		for _, c := range h.chains {
			s.Entries += len(c.entries)
			if len(c.entries) > 0 {
				s.Histories++
			}
		}
	}
	return s
}

func (r *record) count(s *Summary) {
	switch r.kind {
	case state:
		s.States++
		if r.resumed || r.number > 0 {
			s.Resumed++
		}
		if r.leftOut {
			s.LeftOut++
		}
		if r.skipped > 0 {
			s.Skips++
		}
	case notFound, gap:
		s.Gaps++
	case transaction, updated, removed:
		if r.computed && r.hasState {
			s.Patched++
		}
		if r.replayed {
			s.Replayed++
		} else {
			s.Live++
		}
		if r.kind == removed {
			s.Removals++
		}
	case disconnected:
		s.Disconnects++
		if r.number == codes.CloseFellBehind {
			s.FellBehind++
		}
	}
}

func (o *Operation) count(s *Summary) {
	if o.Kind != OperationPropose {
		if o.Answered && o.Answer.TransactionID != "" {
			s.Administered++
		}
		return
	}
	s.Proposals++
	switch {
	case !o.Answered:
		s.Unanswered++
	case o.Answer.TransactionID == "":
		s.Refused++
	case o.Answer.Accepted:
		s.Accepted++
	default:
		s.Rejected++
	}
	if o.Answer.Duplicate {
		s.Duplicates++
	}
}

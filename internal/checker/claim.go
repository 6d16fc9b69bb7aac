package checker

import (
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// claim is what somebody says of the entry at one position; where a has… is
// false, it says nothing of that.
type claim struct {
	hasType    bool
	entryType  sharedata.EntryType
	hasVerdict bool
	accepted   bool
	function   string // empty: says nothing
	hasState   bool
	state      sharedata.Hash
}

func claimOfEntry(e *sharedata.Entry) claim {
	return claim{
		hasType: true, entryType: e.Type,
		hasVerdict: e.Type == sharedata.EntryTransaction, accepted: e.Accepted, function: e.FunctionID,
		hasState: true, state: e.StateHash,
	}
}

func (r *record) claim() claim {
	c := claim{hasType: true, hasState: r.hasState, state: r.state}
	switch r.kind {
	case state:
		c.hasType = false
	case transaction:
		c.entryType, c.hasVerdict, c.accepted, c.function = sharedata.EntryTransaction, true, r.accepted, r.text
	case updated:
		c.entryType = sharedata.EntryUpdated
	case removed:
		c.entryType = sharedata.EntryRemoved
	}
	return c
}

// conflict says in what two claims contradict each other; empty if they do not.
func (c claim) conflict(other claim) string {
	switch {
	case c.hasType && other.hasType && c.entryType != other.entryType:
		return fmt.Sprintf("it is of type %q, not %q", other.entryType, c.entryType)
	case c.hasVerdict && other.hasVerdict && c.accepted != other.accepted:
		if other.accepted {
			return "it was accepted, not rejected"
		}
		return "it was rejected, not accepted"
	case c.function != "" && other.function != "" && c.function != other.function:
		return fmt.Sprintf("its function is %q, not %q", other.function, c.function)
	case c.hasState && other.hasState && c.state != other.state:
		return fmt.Sprintf("the state after it has the hash %.8s…, not %.8s…", other.state, c.state)
	}
	return ""
}

// with adds what other says beyond c.
func (c claim) with(other claim) claim {
	if other.hasType {
		c.hasType, c.entryType = true, other.entryType
	}
	if other.hasVerdict {
		c.hasVerdict, c.accepted = true, other.accepted
	}
	if other.function != "" {
		c.function = other.function
	}
	if other.hasState {
		c.hasState, c.state = true, other.state
	}
	return c
}

// claimed holds what was seen of an entry against the history or, where that
// was not recorded, against what others have seen of it. It reports whether
// there is such an entry, for all that is known.
func (j *judge) claimed(shareData string, at replay.Cursor, c claim, report func(Promise, string, ...any)) bool {
	h := j.histories[shareData]
	if h == nil || h.chains[at.Epoch] == nil || len(h.chains[at.Epoch].entries) == 0 {
		j.witness(shareData, at, c, report)
		return true
	}
	history := h.chains[at.Epoch]
	if e := history.entry(at.Revision); e != nil {
		if problem := c.conflict(claimOfEntry(e)); problem != "" {
			report(CommittedBeforeSeen, "the history says otherwise of %s: %s", at, problem)
		}
		return true
	}
	// A history that is read from the store cannot contain its own removal.
	isRemoval := c.hasType && c.entryType == sharedata.EntryRemoved && at.Revision == history.newest()+1
	if history.missing(at.Revision) && !isRemoval {
		report(CommittedBeforeSeen, "%s is not in the history, which has the revisions %d to %d", at, history.oldest(), history.newest())
		return false
	}
	j.witness(shareData, at, c, report)
	return true
}

func (j *judge) witness(shareData string, at replay.Cursor, c claim, report func(Promise, string, ...any)) {
	key := position{shareData, at}
	if problem := c.conflict(j.witnessed[key]); problem != "" {
		report(OneWinner, "somebody else saw another entry at %s: %s", at, problem)
		return
	}
	j.witnessed[key] = j.witnessed[key].with(c)
}

// position is that of an entry among all ShareData.
type position struct {
	shareData string
	cursor    replay.Cursor
}

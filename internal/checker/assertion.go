package checker

import (
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// assertion is what a frame or a result says about the entry at one position.
// Where a has… is false, it says nothing about that.
type assertion struct {
	hasType    bool
	entryType  sharedata.EntryType
	hasVerdict bool
	accepted   bool
	function   string // empty: nothing is said
	hasState   bool
	state      sharedata.Hash
	computed   bool // state is not what was received, but what it leads to
}

func assertionOfEntry(e *sharedata.Entry) assertion {
	return assertion{
		hasType: true, entryType: e.Type,
		hasVerdict: e.Type == sharedata.EntryTransaction, accepted: e.Accepted, function: e.FunctionID,
		hasState: true, state: e.StateHash,
	}
}

func (r *record) assertion() assertion {
	a := assertion{hasType: true, hasState: r.hasState, state: r.state, computed: r.computed}
	switch r.kind {
	case state:
		a.hasType = false
	case transaction:
		a.entryType, a.hasVerdict, a.accepted, a.function = sharedata.EntryTransaction, true, r.accepted, r.text
	case updated:
		a.entryType = sharedata.EntryUpdated
	case removed:
		a.entryType = sharedata.EntryRemoved
	}
	return a
}

// contradiction says how two assertions contradict each other; empty if they do
// not.
func (a assertion) contradiction(other assertion) string {
	switch {
	case a.hasType && other.hasType && a.entryType != other.entryType:
		return fmt.Sprintf("it is of type %q, not %q", other.entryType, a.entryType)
	case a.hasVerdict && other.hasVerdict && a.accepted != other.accepted:
		if other.accepted {
			return "it was accepted, not rejected"
		}
		return "it was rejected, not accepted"
	case a.function != "" && other.function != "" && a.function != other.function:
		return fmt.Sprintf("its function is %q, not %q", other.function, a.function)
	case a.hasState && other.hasState && a.state != other.state:
		return fmt.Sprintf("the state after it has the hash %.8s…, not %.8s…", other.state, a.state)
	}
	return ""
}

// with returns the assertion that says what either says.
func (a assertion) with(other assertion) assertion {
	if other.hasType {
		a.hasType, a.entryType = true, other.entryType
	}
	if other.hasVerdict {
		a.hasVerdict, a.accepted = true, other.accepted
	}
	if other.function != "" {
		a.function = other.function
	}
	if other.hasState {
		a.hasState, a.state = true, other.state
	}
	return a
}

// compareWithHistory compares an assertion with the history or, where that was not
// recorded, with the other assertions about the entry. It returns whether the
// entry exists, as far as that is known.
func (ev *evaluation) compareWithHistory(shareData string, at replay.Cursor, a assertion, report func(Promise, string, ...any)) bool {
	h := ev.histories[shareData]
	if h == nil || h.chains[at.Epoch] == nil || len(h.chains[at.Epoch].entries) == 0 {
		ev.compareWithOthers(shareData, at, a, report)
		return true
	}
	history := h.chains[at.Epoch]
	if e := history.entry(at.Revision); e != nil {
		promise, recorded := CommittedBeforeSeen, assertionOfEntry(e)
		if a.computed && a.state != recorded.state {
			promise = InSync
		}
		if problem := a.contradiction(recorded); problem != "" {
			report(promise, "the history contradicts it at %s: %s", at, problem)
		}
		return true
	}
	// A history that is read from the store cannot contain its own removal.
	isRemoval := a.hasType && a.entryType == sharedata.EntryRemoved && at.Revision == history.newest()+1
	if history.missing(at.Revision) && !isRemoval {
		report(CommittedBeforeSeen, "%s is not in the history, which has the revisions %d to %d", at, history.oldest(), history.newest())
		return false
	}
	ev.compareWithOthers(shareData, at, a, report)
	return true
}

func (ev *evaluation) compareWithOthers(shareData string, at replay.Cursor, a assertion, report func(Promise, string, ...any)) {
	key := position{shareData, at}
	if problem := a.contradiction(ev.assertions[key]); problem != "" {
		promise := OneWinner
		if a.computed && a.state != ev.assertions[key].state {
			promise = InSync
		}
		report(promise, "another frame or result shows a different entry at %s: %s", at, problem)
		return
	}
	ev.assertions[key] = ev.assertions[key].with(a)
}

// position is the position of an entry among all ShareData.
type position struct {
	shareData string
	cursor    replay.Cursor
}

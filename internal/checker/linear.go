package checker

import (
	"encoding/json"
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// operationStep is one effect as an operation of a search for a linearization.
type operationStep struct {
	*effect
	// after is the position of the effect before, in the order of the history:
	// the order of revisions must be the order of the linearization.
	after     replay.Cursor
	entryType sharedata.EntryType
	function  string
	data      json.RawMessage
	// hash is that of the state after it, where hasHash.
	hash    sharedata.Hash
	hasHash bool
}

// operationState is the state between two operations. It is comparable.
type operationState struct {
	at    replay.Cursor
	known bool
	text  string
}

// linearize searches for an order of the operations that agrees with their
// order in time, with their answers, and with the order of their revisions. An
// operation lasts from being sent until somebody knew of its effect.
func (f *effects) linearize() {
	model := f.judge.options.Models[f.shareData]
	steps := f.steps()
	if model == nil || len(steps) == 0 {
		return
	}
	end := f.judge.last + 1
	sent := uint64(0)
	operations := make([]porcupine.Operation, len(steps))
	for i, s := range steps {
		// Whatever nobody asked for comes after what is before it, at least.
		if s.operation != nil {
			sent = s.sent
		}
		known := s.known
		if known == 0 {
			known = end
		}
		if known < sent {
			f.report(OneWinner, s, "it was known before it was asked for")
			known = sent
		}
		operations[i] = porcupine.Operation{Input: s, Call: int64(sent), Return: int64(known)}
	}
	result, info := porcupine.CheckOperationsVerbose(porcupine.Model{
		Init: func() any { return operationState{} },
		Step: func(state, input, _ any) (bool, any) {
			return input.(*operationStep).follow(state.(operationState), model, f.judge.states)
		},
	}, operations, f.judge.options.Linearize)
	switch result {
	case porcupine.Illegal:
		f.explainIllegal(steps, info, model)
	case porcupine.Unknown:
		f.judge.report(Violation{
			Promise: Recorded, ShareData: f.shareData, Where: fmt.Sprintf("%d operations", len(steps)),
			Explanation: fmt.Sprintf("the search for a linearization gave up after %v; record a shorter run or allow more time", f.judge.options.Linearize),
		})
	}
}

func (f *effects) report(promise Promise, s *operationStep, format string, values ...any) {
	who := ""
	if s.operation != nil {
		who = s.operation.Proposal.Proposer
	}
	f.judge.report(Violation{
		Promise: promise, ShareData: f.shareData, Subscriber: who, Where: s.at.String(), Explanation: fmt.Sprintf(format, values...),
	})
}

// steps are the effects as operations, in the order of the history.
func (f *effects) steps() []*operationStep {
	var steps []*operationStep
	var after replay.Cursor
	for _, e := range f.inOrder() {
		s := &operationStep{effect: e, after: after}
		if o := e.operation; o != nil {
			s.entryType, s.function, s.data = o.entryType(), o.Proposal.Function, o.Proposal.Data
		} else {
			s.entryType, s.function, s.data = e.entry.Type, e.entry.FunctionID, e.entry.Data
			if e.entry.Type != sharedata.EntryTransaction {
				s.data = f.judge.states[e.entry.StateHash]
			}
		}
		if e.entry != nil {
			s.hash, s.hasHash = e.entry.StateHash, e.entry.Type != sharedata.EntryRemoved
		} else {
			c := f.judge.witnessed[position{f.shareData, e.at}]
			s.hash, s.hasHash = c.state, c.hasState
		}
		steps = append(steps, s)
		after = e.at
	}
	return steps
}

// follow is the step from one state to the next; ok is false where there is no
// such step.
func (s *operationStep) follow(before operationState, model Model, states map[sharedata.Hash]json.RawMessage) (ok bool, after operationState) {
	if before.at != s.after {
		return false, before
	}
	after = operationState{at: s.at}
	next := s.data // of a creation and an update
	switch known := before.known && s.at == before.at.Next(); {
	case s.entryType == sharedata.EntryRemoved:
		return true, after
	case s.entryType != sharedata.EntryTransaction:
	case known:
		var accepted bool
		var err error
		next, accepted, err = model(json.RawMessage(before.text), s.function, s.data)
		if err != nil || accepted != s.accepted {
			return false, before
		}
		if !accepted {
			next = json.RawMessage(before.text)
		}
	default:
		next = states[s.hash] // what came before it is not known
	}
	if next == nil {
		return true, after
	}
	if s.hasHash {
		if next, ok = hashed(next, s.hash); !ok {
			return false, before
		}
	}
	after.known, after.text = true, string(next)
	return true, after
}

// explainIllegal reports the first operation that has no place.
func (f *effects) explainIllegal(steps []*operationStep, info porcupine.LinearizationInfo, model Model) {
	n := 0
	for _, partition := range info.PartialLinearizations() {
		for _, partial := range partition {
			n = max(n, len(partial))
		}
	}
	var before operationState
	for _, s := range steps[:n] {
		_, before = s.follow(before, model, f.judge.states)
	}
	s := steps[min(n, len(steps)-1)]
	why := "the answers contradict the order in time: something that comes after it was known before it was asked for"
	if ok, _ := s.follow(before, model, f.judge.states); !ok {
		why = "no order of what was asked for leads there"
	}
	f.report(OneWinner, s, "%s: after %.60s comes %q of %.60s, recorded as accepted: %t", why, before.text, s.function, s.data, s.accepted)
}

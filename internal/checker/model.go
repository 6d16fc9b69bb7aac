package checker

import (
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/sharedata"
)

// Model computes what a function makes of proposed data: the next state, byte
// for byte as the function writes it or before encoding/json compacts it, or
// no acceptance. An error says that the model does not know the function or
// cannot read the state; it is reported.
type Model func(state json.RawMessage, functionID string, data json.RawMessage) (next json.RawMessage, accepted bool, err error)

// Counter is the model of {"value": n} with the functions "add", which takes
// {"by": m} and rejects a result below zero, and "reset", which sets 0.
func Counter(state json.RawMessage, functionID string, data json.RawMessage) (json.RawMessage, bool, error) {
	var counter struct {
		Value int64 `json:"value"`
	}
	if err := json.Unmarshal(state, &counter); err != nil {
		return nil, false, err
	}
	switch functionID {
	case "add":
		var in struct {
			By int64 `json:"by"`
		}
		if err := json.Unmarshal(data, &in); err != nil {
			return nil, false, err
		}
		if counter.Value+in.By < 0 {
			return nil, false, nil
		}
		counter.Value += in.By
	case "reset":
		counter.Value = 0
	default:
		return nil, false, fmt.Errorf("a counter has no function %q", functionID)
	}
	next, err := json.Marshal(counter)
	return next, true, err
}

// Register is the model of a state that the function "set" replaces by the
// proposed data, and that rejects null.
func Register(_ json.RawMessage, functionID string, data json.RawMessage) (json.RawMessage, bool, error) {
	if functionID != "set" {
		return nil, false, fmt.Errorf("a register has no function %q", functionID)
	}
	return data, string(data) != "null", nil
}

// model replays a history through its model, from wherever a state is known.
func (j *judge) model(shareData string, h *histories) {
	model := j.options.Models[shareData]
	if model == nil {
		return
	}
	for _, c := range h.inOrder() {
		for _, run := range c.runs() {
			var before json.RawMessage // nil: not known
			for i := range run {
				e := &run[i]
				after := j.states[e.StateHash]
				if e.Type == sharedata.EntryTransaction && before != nil {
					next, problem := follow(model, before, e)
					if problem == "" {
						after = next
					} else {
						j.report(Violation{Promise: OneWinner, ShareData: shareData, Where: e.Cursor.String(), Explanation: problem})
					}
				}
				before = after
			}
		}
	}
}

// follow computes the state after a transaction; problem says how the entry
// differs from what the model says.
func follow(model Model, before json.RawMessage, e *sharedata.Entry) (after json.RawMessage, problem string) {
	next, accepted, err := model(before, e.FunctionID, e.Data)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("the model fails for %q of %.60s on %.60s: %v", e.FunctionID, e.Data, before, err)
	case accepted != e.Accepted:
		return nil, fmt.Sprintf("%q of %.60s on %.60s is recorded as accepted: %t, and the model says %t", e.FunctionID, e.Data, before, e.Accepted, accepted)
	case !accepted:
		next = before
	}
	if after, ok := hashed(next, e.StateHash); ok {
		return after, ""
	}
	return nil, fmt.Sprintf("%q of %.60s on %.60s leads to %.60s, which does not have the recorded hash %s", e.FunctionID, e.Data, before, next, e.StateHash)
}

// hashed returns the form of a state that has the hash: as it is, or compact.
func hashed(state json.RawMessage, hash sharedata.Hash) (json.RawMessage, bool) {
	if sharedata.HashState(state) == hash {
		return state, true
	}
	compact, err := json.Marshal(state)
	return compact, err == nil && sharedata.HashState(compact) == hash
}

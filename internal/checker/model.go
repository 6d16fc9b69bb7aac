package checker

import (
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/sharedata"
)

// Model computes the outcome of a function: whether it accepts the proposed data,
// and if so the next state, byte for byte as the function writes it or before
// encoding/json compacts it. An error says that the model does not know the
// function or cannot read the state; it is reported as a violation of OneWinner.
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

// withHash returns the form of a state that has the hash: as it is, or compact.
func withHash(state json.RawMessage, hash sharedata.Hash) (json.RawMessage, bool) {
	if sharedata.HashState(state) == hash {
		return state, true
	}
	compact, err := json.Marshal(state)
	return compact, err == nil && sharedata.HashState(compact) == hash
}

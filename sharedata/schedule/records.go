package schedule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/sharedata"
)

// The state of a part is an object with a record for each proposal, by its ID. This file
// has the records, and the functions that change them.

type record struct {
	At          time.Time       `json:"at"`
	ShareDataID string          `json:"shareDataId"`
	FunctionID  string          `json:"functionId"`
	Data        json.RawMessage `json:"data"`
	Caller      *callerRecord   `json:"caller,omitempty"`
	// Begun says which process makes the proposal, and since when.
	Begun *begun `json:"begun,omitempty"`
}

type begun struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// callerRecord is a sharedata.Caller without its Value.
type callerRecord struct {
	Subject   string          `json:"subject"`
	Issuer    string          `json:"issuer,omitempty"`
	Audience  []string        `json:"audience,omitempty"`
	Claims    json.RawMessage `json:"claims,omitempty"`
	TokenID   string          `json:"tokenId,omitempty"`
	IssuedAt  time.Time       `json:"issuedAt,omitzero"`
	ExpiresAt time.Time       `json:"expiresAt,omitzero"`
}

func callerRecordOf(c *sharedata.Caller) *callerRecord {
	if c == nil {
		return nil
	}
	return &callerRecord{c.Subject, c.Issuer, c.Audience, c.Claims, c.TokenID, c.IssuedAt, c.ExpiresAt}
}

func (r *callerRecord) caller() *sharedata.Caller {
	if r == nil {
		return nil
	}
	return &sharedata.Caller{
		Subject: r.Subject, Issuer: r.Issuer, Audience: r.Audience, Claims: r.Claims,
		TokenID: r.TokenID, IssuedAt: r.IssuedAt, ExpiresAt: r.ExpiresAt,
	}
}

func parseProposal(id string, text json.RawMessage) (Proposal, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return Proposal{}, err
	}
	return r.proposal(id), nil
}

func (r *record) proposal(id string) Proposal {
	return Proposal{
		ID: id, At: r.At, ShareDataID: r.ShareDataID, FunctionID: r.FunctionID, Data: r.Data,
		Caller: r.Caller.caller(), Begun: r.Begun != nil,
	}
}

// eachMember visits the members of a state in their order; nil has none. The text is
// valid until visit returns.
func eachMember(state json.RawMessage, visit func(id string, text json.RawMessage) error) error {
	if state == nil {
		return nil
	}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(state), jsontext.AllowDuplicateNames(true))
	if open, err := decoder.ReadToken(); err != nil || open.Kind() != '{' {
		return errors.Join(errors.New("not an object"), err)
	}
	for decoder.PeekKind() != '}' {
		name, err := decoder.ReadToken()
		if err != nil {
			return err
		}
		id := name.String()
		text, err := decoder.ReadValue()
		if err != nil {
			return err
		}
		if err := visit(id, json.RawMessage(text)); err != nil {
			return err
		}
	}
	return nil
}

// Inputs of the functions.
type (
	namedRecord struct {
		ID string `json:"id"`
		record
	}
	scheduleInput struct {
		Proposals []namedRecord `json:"proposals"`
		// Replaces is the ID of the proposal in place of which they are scheduled.
		Replaces string `json:"replaces,omitempty"`
		Most     int    `json:"most,omitempty"` // how many may wait; 0: any number
	}
	cancelInput struct {
		ID string `json:"id"`
	}
	beginInput struct {
		begun
		Proposals []beginning `json:"proposals"`
	}
	beginning struct {
		ID string `json:"id"`
		// From is what another process has begun and does not finish.
		From *begun `json:"from,omitempty"`
	}
	finishInput struct {
		Outcomes []outcome `json:"outcomes"`
	}
)

// outcome is what became of a proposal: a verdict, or an error.
type outcome struct {
	ID            string `json:"id"`
	Accepted      bool   `json:"accepted"`
	Code          string `json:"code,omitempty"`
	Reason        string `json:"reason,omitempty"`
	TransactionID string `json:"transactionId,omitempty"`
	Error         string `json:"error,omitempty"`
}

// Codes of rejections.
const (
	codeExists  = "exists"
	codeFull    = "full"
	codeUnknown = "unknown"
	codeBegun   = "begun"
	codeNothing = "nothing" // there is nothing to begin or to finish: another process did it
)

// rejectionError returns the error for a verdict; nil for one that is accepted.
func rejectionError(v sharedata.Verdict) error {
	if v.Accepted {
		return nil
	}
	kinds := map[string]error{codeExists: ErrExists, codeFull: ErrFull, codeUnknown: ErrUnknown, codeBegun: ErrBegun, codeNothing: errNothing}
	if kind := kinds[v.Code]; kind != nil {
		return fmt.Errorf("%w: %s", kind, v.Reason)
	}
	return fmt.Errorf("schedule: %s", v.Reason)
}

var errNothing = errors.New("nothing to do")

var scheduleFunction = sharedata.NewPatchFunction("schedule", func(_ context.Context, state sharedata.Document, input scheduleInput) (patch sharedata.Patch, err error) {
	if input.Replaces != "" {
		if err := removeWaiting(&patch, state, input.Replaces); err != nil {
			return patch, err
		}
	}
	added := make(map[string]*record, len(input.Proposals))
	for i := range input.Proposals {
		added[input.Proposals[i].ID] = &input.Proposals[i].record
	}
	waiting := 0
	err = eachMember(state.Raw(), func(id string, text json.RawMessage) error {
		if id == input.Replaces {
			return nil
		}
		waiting++
		if added[id] == nil {
			return nil
		}
		var there record
		if err := json.Unmarshal(text, &there); err != nil {
			return err
		}
		if !there.equal(added[id]) {
			return sharedata.RejectWith(codeExists, fmt.Sprintf("another proposal is scheduled by %.60q", id), nil)
		}
		delete(added, id)
		return nil
	})
	if err != nil {
		return patch, err
	}
	if input.Most > 0 && waiting+len(added) > input.Most {
		return patch, sharedata.RejectWith(codeFull, fmt.Sprintf("%d proposals wait in this part of the schedule already", waiting), nil)
	}
	for _, p := range input.Proposals {
		if added[p.ID] != nil {
			patch.Add(sharedata.Path(p.ID), added[p.ID])
			delete(added, p.ID)
		}
	}
	return patch, nil
})

// equal reports whether both are the same proposal.
func (r *record) equal(to *record) bool {
	a, b := *r, *to
	a.Begun, b.Begun = nil, nil
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

var cancelFunction = sharedata.NewPatchFunction("cancel", func(_ context.Context, state sharedata.Document, input cancelInput) (patch sharedata.Patch, err error) {
	return patch, removeWaiting(&patch, state, input.ID)
})

// removeWaiting removes a proposal, which must wait.
func removeWaiting(patch *sharedata.Patch, state sharedata.Document, id string) error {
	path := sharedata.Path(id)
	var r record
	switch found, err := state.Decode(path, &r); {
	case err != nil:
		return err
	case !found:
		return sharedata.RejectWith(codeUnknown, fmt.Sprintf("no proposal is scheduled by %.60q", id), nil)
	case r.Begun != nil:
		return sharedata.RejectWith(codeBegun, fmt.Sprintf("the time of %.60q has come", id), nil)
	}
	patch.Remove(path)
	return nil
}

var beginFunction = sharedata.NewPatchFunction("begin", func(_ context.Context, state sharedata.Document, input beginInput) (patch sharedata.Patch, err error) {
	wanted := make(map[string]*begun, len(input.Proposals))
	for _, p := range input.Proposals {
		wanted[p.ID] = p.From
	}
	changed := false
	err = eachMember(state.Raw(), func(id string, text json.RawMessage) error {
		from, is := wanted[id]
		if !is {
			return nil
		}
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			return err
		}
		if r.At.After(input.begun.At) {
			return nil // it has taken the place of the one that is due
		}
		if r.Begun == nil || from != nil && r.Begun.By == from.By && r.Begun.At.Equal(from.At) {
			patch.Add(sharedata.Path(id, "begun"), input.begun)
			changed = true
		}
		return nil
	})
	if err == nil && !changed {
		err = sharedata.RejectWith(codeNothing, "nothing is to be begun", nil)
	}
	return patch, err
})

var finishFunction = sharedata.NewPatchFunction("finish", func(_ context.Context, state sharedata.Document, input finishInput) (patch sharedata.Patch, err error) {
	finished := make(map[string]bool, len(input.Outcomes))
	for _, o := range input.Outcomes {
		finished[o.ID] = true
	}
	changed := false
	err = eachMember(state.Raw(), func(id string, _ json.RawMessage) error {
		if finished[id] {
			patch.Remove(sharedata.Path(id))
			changed = true
		}
		return nil
	})
	if err == nil && !changed {
		err = sharedata.RejectWith(codeNothing, "all of it was finished before", nil)
	}
	return patch, err
})

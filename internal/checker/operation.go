package checker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// Proposal is a proposal that is about to be sent.
type Proposal struct {
	// Proposer is for reports.
	Proposer string
	// Connection names the connection that the proposal is sent over; empty where
	// that is not known. The proposals of one connection must be decided in the
	// order of sending.
	Connection string
	ShareData  string
	Function   string
	Data       json.RawMessage
	// Key is the idempotency key; empty for none. Subject is the caller's
	// subject: keys of different subjects are different keys.
	Key     string
	Subject string
	// Server names the process that the proposal is sent to; empty where that is
	// not known.
	Server string
}

// Answer is the result of a proposal, as its proposer received it.
type Answer struct {
	Accepted bool
	// TransactionID is empty where no verdict was recorded.
	TransactionID string
	Duplicate     bool
	// Code and Error are those of a result that is not accepted. A result without a
	// TransactionID, with any Code but codes.OutcomeUnknown, says that nothing
	// happened.
	Code  string
	Error string
}

// Pending is an operation that was sent. An outcome that is never recorded breaks
// no promise.
type Pending struct {
	recorder  *Recorder
	operation Operation // all but Proposal is guarded by recorder.mu, and Proposal.Server
}

// OperationKind says what an operation asks for.
type OperationKind int

const (
	// OperationPropose asks for one run of a function.
	OperationPropose OperationKind = iota
	// OperationUpdate replaces the state without a function.
	OperationUpdate
	// OperationCreate begins a history.
	OperationCreate
)

// Operation is a proposal, an update or a creation, and its result.
type Operation struct {
	// Kind says how to read Proposal: for updates and creations, Data is the state,
	// and only it, Proposer, ShareData and Server are used.
	Kind     OperationKind
	Proposal Proposal
	// Answered is false where the outcome is not known; Answer, AnswerOrder and
	// AnsweredAt are zero then.
	Answered bool
	Answer   Answer
	// SendOrder and AnswerOrder are numbers of records. Of two records, the one with
	// the smaller number was recorded first.
	SendOrder, AnswerOrder uint64
	SentAt, AnsweredAt     time.Time
}

// Proposed records a proposal that is about to be sent. One that is sent again
// is recorded again, unless a client does that by itself.
func (r *Recorder) Proposed(p Proposal) *Pending { return r.sent(OperationPropose, p) }

// Updating records that a ShareData is about to be updated. Data is the new state,
// byte for byte as it will be stored. The answer of an update that succeeds is
// accepted and has the position of the update as its TransactionID.
func (r *Recorder) Updating(p Proposal) *Pending {
	r.keepState(p.Data)
	return r.sent(OperationUpdate, p)
}

// Creating records that a ShareData is about to be created, as Updating does.
func (r *Recorder) Creating(p Proposal) *Pending {
	r.keepState(p.Data)
	return r.sent(OperationCreate, p)
}

func (r *Recorder) sent(kind OperationKind, p Proposal) *Pending {
	p.Data = bytes.Clone(p.Data)
	pending := &Pending{recorder: r, operation: Operation{Kind: kind, Proposal: p, SentAt: time.Now()}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if pending.operation.SendOrder = r.nextLocked(); pending.operation.SendOrder != 0 {
		r.operations = append(r.operations, pending)
	}
	return pending
}

// Answered records the result that was received. Another one that differs is a
// violation of OnceOnly.
func (p *Pending) Answered(answer Answer) {
	now := time.Now()
	p.recorder.mu.Lock()
	defer p.recorder.mu.Unlock()
	if p.operation.Answered {
		if first := p.operation.Answer; first != answer {
			p.recorder.violations = append(p.recorder.violations, Violation{
				OnceOnly, p.operation.Proposal.ShareData, p.operation.Proposal.Proposer, p.operation.place(),
				fmt.Sprintf("it has two results: %s, then %s", first, answer),
			})
		}
		return
	}
	if at := p.recorder.nextLocked(); at != 0 {
		p.operation.Answered, p.operation.Answer = true, answer
		p.operation.AnswerOrder, p.operation.AnsweredAt = at, now
	}
}

// ServedBy sets Proposal.Server, where only the response names it.
func (p *Pending) ServedBy(server string) {
	p.recorder.mu.Lock()
	defer p.recorder.mu.Unlock()
	p.operation.Proposal.Server = server
}

// Returned records what client.Client.Propose returned. It returns false where the
// outcome of the proposal is not known.
func (p *Pending) Returned(result client.Result, err error) (known bool) {
	if refused, ok := errors.AsType[*client.ProposalError](err); ok && !errors.Is(err, client.ErrOutcomeUnknown) {
		p.Answered(Answer{Code: refused.Code, Error: refused.Message})
		return true
	}
	if err != nil {
		return false
	}
	p.Answered(Answer{
		Accepted: result.Accepted, TransactionID: result.TransactionID, Duplicate: result.Duplicate,
		Code: result.Code, Error: result.Error,
	})
	return true
}

// Operations returns the operations on one ShareData, in the order of sending.
func (r *Recorder) Operations(shareData string) []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var operations []Operation
	for _, p := range r.operations {
		if p.operation.Proposal.ShareData == shareData {
			operations = append(operations, p.operation)
		}
	}
	return operations
}

// String returns the answer for reports.
func (a Answer) String() string {
	text := "rejected"
	switch {
	case a.TransactionID == "":
		return fmt.Sprintf("no verdict (%s: %.80q)", a.Code, a.Error)
	case a.Accepted:
		text = "accepted"
	}
	if a.Duplicate {
		text += " as a duplicate"
	}
	return text + " as " + a.TransactionID
}

// mayHaveEffect reports whether the operation may have taken effect, by its result.
func (o *Operation) mayHaveEffect() bool {
	return !o.Answered || o.Answer.TransactionID != "" || o.Answer.Code == "" || o.Answer.Code == codes.OutcomeUnknown
}

// place describes the operation for reports.
func (o *Operation) place() string {
	key := ""
	if o.Proposal.Key != "" {
		key = fmt.Sprintf(" with key %.60q", o.Proposal.Key)
	}
	switch o.Kind {
	case OperationUpdate:
		return fmt.Sprintf("update #%d to %.60s", o.SendOrder, o.Proposal.Data)
	case OperationCreate:
		return fmt.Sprintf("creation #%d with %.60s", o.SendOrder, o.Proposal.Data)
	}
	return fmt.Sprintf("proposal #%d of %.60s to %q%s", o.SendOrder, o.Proposal.Data, o.Proposal.Function, key)
}

// entryType is the type of the entry that the operation leaves in the history.
func (o *Operation) entryType() sharedata.EntryType {
	switch o.Kind {
	case OperationUpdate:
		return sharedata.EntryUpdated
	case OperationCreate:
		return sharedata.EntryCreated
	}
	return sharedata.EntryTransaction
}

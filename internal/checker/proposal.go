package checker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// Proposal is one that is about to be sent.
type Proposal struct {
	// Proposer is for reports.
	Proposer string
	// Connection, where it is not empty, is the same for proposals that go down
	// one connection: their verdicts must follow the order of sending.
	Connection string
	ShareData  string
	Function   string
	Data       json.RawMessage
	// Key is the idempotency key; empty for none. Subject is the caller's
	// subject: keys of different subjects are different keys.
	Key     string
	Subject string
	// Server, where it is not empty, names the process that was asked.
	Server string
}

// Answer is what became of a proposal, as its proposer was told.
type Answer struct {
	Accepted bool
	// TransactionID is empty where no verdict was recorded.
	TransactionID string
	Duplicate     bool
	Error         string
}

// Pending is a proposal that was sent. One that is never answered has an
// outcome that nobody knows, which breaks no promise.
type Pending struct {
	recorder  *Recorder
	operation Operation // all but Proposal is guarded by recorder.mu
}

// OperationKind says what was asked for.
type OperationKind int

const (
	// OperationPropose asks for one run of a function.
	OperationPropose OperationKind = iota
	// OperationUpdate replaces the state, past all functions.
	OperationUpdate
	// OperationCreate begins a history.
	OperationCreate
)

// Operation is a proposal and its answer. Operations are what a search for a
// linearization takes as its input.
type Operation struct {
	// Kind says how to read Proposal: of an update and of a creation, only the
	// Proposer, the ShareData, the Server and, as Data, the state mean something.
	Kind     OperationKind
	Proposal Proposal
	// Answered is false where the outcome is not known; Answer, AnswerOrder and
	// AnsweredAt are zero then.
	Answered bool
	Answer   Answer
	// SendOrder and AnswerOrder number everything that was recorded: of two
	// numbers the smaller one was recorded first.
	SendOrder, AnswerOrder uint64
	SentAt, AnsweredAt     time.Time
}

// Proposed records a proposal that is about to be sent. One that is sent again
// is recorded again, unless a client does that by itself.
func (r *Recorder) Proposed(p Proposal) *Pending { return r.asked(OperationPropose, p) }

// Updating records a wholesale update that is about to be asked for: like a
// proposal, except that Data is the new state, byte for byte as it will be
// kept. Its answer is accepted and has the position of the update.
func (r *Recorder) Updating(p Proposal) *Pending {
	r.keepState(p.Data)
	return r.asked(OperationUpdate, p)
}

// Creating records that a ShareData is about to be created, like Updating.
func (r *Recorder) Creating(p Proposal) *Pending {
	r.keepState(p.Data)
	return r.asked(OperationCreate, p)
}

func (r *Recorder) asked(kind OperationKind, p Proposal) *Pending {
	p.Data = bytes.Clone(p.Data)
	pending := &Pending{recorder: r, operation: Operation{Kind: kind, Proposal: p, SentAt: time.Now()}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if pending.operation.SendOrder = r.nextLocked(); pending.operation.SendOrder != 0 {
		r.proposals = append(r.proposals, pending)
	}
	return pending
}

// Answered records the answer that was received. There is only one; another
// that differs is a violation of OnceOnly.
func (p *Pending) Answered(answer Answer) {
	now := time.Now()
	p.recorder.mu.Lock()
	defer p.recorder.mu.Unlock()
	if p.operation.Answered {
		if first := p.operation.Answer; first != answer {
			p.recorder.found = append(p.recorder.found, Violation{
				OnceOnly, p.operation.Proposal.ShareData, p.operation.Proposal.Proposer, p.operation.place(),
				fmt.Sprintf("it was answered twice: %s, then %s", first, answer),
			})
		}
		return
	}
	if at := p.recorder.nextLocked(); at != 0 {
		p.operation.Answered, p.operation.Answer = true, answer
		p.operation.AnswerOrder, p.operation.AnsweredAt = at, now
	}
}

// Operations returns what was asked of one ShareData, in the order in which it
// was sent.
func (r *Recorder) Operations(shareData string) []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var operations []Operation
	for _, p := range r.proposals {
		if p.operation.Proposal.ShareData == shareData {
			operations = append(operations, p.operation)
		}
	}
	return operations
}

// String is the answer for reports.
func (a Answer) String() string {
	text := "rejected"
	switch {
	case a.TransactionID == "":
		return fmt.Sprintf("no verdict (%.80q)", a.Error)
	case a.Accepted:
		text = "accepted"
	}
	if a.Duplicate {
		text += " as a duplicate"
	}
	return text + " as " + a.TransactionID
}

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

// entryType is what the operation leaves in the history.
func (o *Operation) entryType() sharedata.EntryType {
	switch o.Kind {
	case OperationUpdate:
		return sharedata.EntryUpdated
	case OperationCreate:
		return sharedata.EntryCreated
	}
	return sharedata.EntryTransaction
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

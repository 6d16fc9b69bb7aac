package realtime

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// verdictFrame is the result of a proposal that a function evaluated.
func verdictFrame(correlationID string, verdict sharedata.Verdict) *frame {
	result := &wire.ProposalResult{
		CorrelationID: correlationID,
		Accepted:      verdict.Accepted,
		TransactionID: verdict.Cursor.String(),
		Duplicate:     verdict.Duplicate,
	}
	if !verdict.Accepted {
		result.Code = cmp.Or(verdict.Code, codes.Rejected)
		result.Error = verdict.Reason
		result.Details = verdict.Details
	}
	return encode(result)
}

// failure says why a proposal has no verdict: for programs, for people, and when
// the same proposal may succeed, 0 for not known.
type failure struct {
	code       string
	text       string
	details    json.RawMessage
	retryAfter time.Duration
}

// frame is the result of the proposal.
func (f failure) frame(correlationID string) *frame {
	result := &wire.ProposalResult{CorrelationID: correlationID, Code: f.code, Error: f.text, Details: f.details}
	result.RetryAfterMs = milliseconds(f.retryAfter)
	return encode(result)
}

// errorFrame is the error frame about a ShareData.
func (f failure) errorFrame(id string) *frame { return f.refusalFrame(id, "") }

// refusalFrame is errorFrame as the reply to a request. The correlation id is empty but
// in an application's protocol.
func (f failure) refusalFrame(id, correlationID string) *frame {
	return encodeError(&wire.Error{
		Code: f.code, Message: f.text, ShareDataID: id, CorrelationID: correlationID, RetryAfterMs: milliseconds(f.retryAfter),
	})
}

// correlatedErrorFrame is the error frame about a message that names no ShareData.
func (f failure) correlatedErrorFrame(correlationID string) *frame {
	return encodeError(&wire.Error{Code: f.code, Message: f.text, CorrelationID: correlationID, RetryAfterMs: milliseconds(f.retryAfter)})
}

// milliseconds rounds up. A duration that is not positive is 0.
func milliseconds(d time.Duration) uint64 {
	return uint64(max(d+time.Millisecond-1, 0) / time.Millisecond)
}

// When a proposal that failed may succeed.
const (
	retryAfterRateLimited = 100 * time.Millisecond // results of the proposals in flight may have come
	retryAfterBusy        = 100 * time.Millisecond // the ShareData's queue may be shorter
	retryAfterUnavailable = time.Second            // the store may be back
	retryAfterShutdown    = time.Second            // another process may serve
)

// failureOf says what a proposer gets for an error of the manager: one
// documented code for each. What went wrong inside a function, a Resolver or the
// store stays on the server; why a proof was refused does not. stopped says that the server was closed.
func failureOf(m *wire.Propose, err error, stopped bool) failure {
	if e, ok := errors.AsType[*sharedata.FunctionError](err); ok {
		// First, because the function's own error may wrap any of those below.
		switch {
		case stopped:
		case errors.Is(e.Err, context.DeadlineExceeded):
			return failure{code: codes.TimedOut, text: fmt.Sprintf("function %.60q took too long; nothing was changed", m.FunctionID)}
		default:
			return failure{code: codes.FunctionFailed, text: fmt.Sprintf("function %.60q failed; nothing was changed", m.FunctionID)}
		}
	} else if errors.Is(err, sharedata.ErrOutcomeUnknown) {
		return failure{
			code: codes.OutcomeUnknown,
			text: "the store failed or is unreachable, and it is not known whether the proposal took effect; propose again with the same idempotencyKey",
		}
	}
	invalid, isInvalid := errors.AsType[*sharedata.InputError](err)
	switch {
	case stopped, errors.Is(err, sharedata.ErrClosed):
		return failure{
			code: codes.ShuttingDown, retryAfter: retryAfterShutdown,
			text: "the server is shutting down; nothing was changed; propose again on a new connection",
		}
	case errors.Is(err, sharedata.ErrProposingDisabled):
		return failure{code: codes.ProposingDisabled, text: "propose is not enabled on this server"}
	case errors.Is(err, sharedata.ErrUnknownShareData), errors.Is(err, sharedata.ErrInvalidID):
		return failure{code: codes.UnknownShareData, text: unknownText(m.ShareDataID)}
	case errors.Is(err, sharedata.ErrUnknownFunction):
		return failure{code: codes.UnknownFunction, text: fmt.Sprintf("ShareData %.60q has no function %.60q", m.ShareDataID, m.FunctionID)}
	case errors.Is(err, sharedata.ErrProofRequired):
		return failure{code: codes.ProofRequired, text: fmt.Sprintf("function %.60q of ShareData %.60q requires a proof", m.FunctionID, m.ShareDataID)}
	case errors.Is(err, sharedata.ErrProofInvalid):
		return failure{code: codes.ProofInvalid, text: shorten(err.Error())}
	case errors.Is(err, sharedata.ErrProofStale):
		return failure{code: codes.ProofStale, text: shorten(err.Error())}
	case isInvalid:
		return failure{code: codes.InvalidInput, text: shorten(invalid.Error()), details: pointerDetails(invalid.Pointer)}
	case errors.Is(err, sharedata.ErrInvalidKey):
		return failure{code: codes.InvalidKey, text: fmt.Sprintf("the idempotencyKey is not valid; use at most %d bytes of UTF-8", sharedata.MaxKeyBytes)}
	case errors.Is(err, sharedata.ErrBusy):
		return failure{
			code: codes.Busy, retryAfter: retryAfterBusy,
			text: "too many proposals wait for this ShareData; nothing was changed; propose again later",
		}
	case errors.Is(err, sharedata.ErrStore):
		return failure{
			code: codes.Unavailable, retryAfter: retryAfterUnavailable,
			text: "the store failed or is unreachable; nothing was changed; propose again later",
		}
	}
	return failure{code: codes.InternalError, text: "the proposal could not be evaluated; nothing was changed; the server's log says why"}
}

// pointerDetails are the details of codes.InvalidInput.
func pointerDetails(pointer string) json.RawMessage {
	details, err := json.Marshal(struct {
		Pointer string `json:"pointer"`
	}{pointer})
	if err != nil {
		return nil // no string fails to marshal
	}
	return details
}

package wire

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The methods AppendTo append one frame, without white space: {"v":1,"type":… and
// then the members in the order of the message's fields. They do not allocate if
// dst has room. Strings are escaped as little as JSON allows, and bytes in them
// that are not UTF-8 become U+FFFD. Raw values are appended verbatim and must be
// valid JSON; an empty one is left out, or written as null if the frame must have
// the member. Nothing else is checked: the caller must not encode what a peer
// refuses, such as an empty correlationId.

// AppendTo implements [ClientMessage].
func (m *Subscribe) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeSubscribe, 0)
	dst = appendText(dst, memberShareDataID, m.ShareDataID)
	dst = appendOptionalText(dst, memberSince, m.Since)
	dst = appendIfTrue(dst, memberReplayLifecycle, m.ReplayLifecycle)
	dst = appendIfTrue(dst, memberKeepConnection, m.KeepConnection)
	dst = appendIfTrue(dst, memberPatches, m.Patches)
	dst = appendIfTrue(dst, memberIncludeState, m.IncludeState)
	dst = appendIfTrue(dst, memberActivity, m.Activity)
	dst = appendIfTrue(dst, memberConflate, m.Conflate)
	return append(dst, '}')
}

// AppendTo implements [ClientMessage].
func (m *Unsubscribe) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeUnsubscribe, 0)
	dst = appendText(dst, memberShareDataID, m.ShareDataID)
	return append(dst, '}')
}

// AppendTo implements [ClientMessage].
func (m *Propose) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypePropose, len(m.ProposedData)+len(m.Proof))
	dst = appendText(dst, memberShareDataID, m.ShareDataID)
	dst = appendText(dst, memberFunctionID, m.FunctionID)
	dst = appendRaw(dst, memberProposedData, m.ProposedData)
	dst = appendText(dst, memberCorrelationID, m.CorrelationID)
	dst = appendOptionalRaw(dst, memberProof, m.Proof)
	dst = appendOptionalText(dst, memberIdempotencyKey, m.IdempotencyKey)
	return append(dst, '}')
}

// AppendTo implements [ClientMessage].
func (m *Ping) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypePing, 0)
	dst = appendText(dst, memberCorrelationID, m.CorrelationID)
	dst = appendIfTrue(dst, memberTokenExpiry, m.TokenExpiry)
	return append(dst, '}')
}

// AppendTo implements [ClientMessage].
func (m *Authenticate) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeAuthenticate, len(m.Token))
	dst = appendText(dst, memberCorrelationID, m.CorrelationID)
	dst = appendText(dst, memberToken, m.Token)
	return append(dst, '}')
}

// AppendTo implements [ServerMessage].
func (m *State) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeState, len(m.CurrentState))
	dst = appendText(dst, memberShareDataID, m.ShareDataID)
	if len(m.CurrentState) > 0 || !m.Resumed {
		dst = appendRaw(dst, memberCurrentState, m.CurrentState)
	}
	if m.LastTransactionID == "" {
		dst = appendRaw(dst, memberLastTransactionID, nil)
	} else {
		dst = appendText(dst, memberLastTransactionID, m.LastTransactionID)
	}
	dst = appendPosition(dst, m.Cursor, m.Revision)
	if m.HasReplaying {
		dst = appendInteger(dst, memberReplaying, m.Replaying)
	}
	dst = appendIfTrue(dst, memberResumed, m.Resumed)
	dst = appendOptionalText(dst, memberStateHash, m.StateHash)
	if m.Skipped != 0 {
		dst = appendInteger(dst, memberSkipped, m.Skipped)
	}
	return append(dst, '}')
}

// AppendTo implements [ServerMessage].
func (m *Transaction) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeTransaction, len(m.CurrentState)+len(m.Patch)+len(m.Activity))
	dst = appendText(dst, memberShareDataID, m.ShareDataID)
	dst = appendText(dst, memberTransactionID, m.TransactionID)
	dst = appendBool(dst, memberAccepted, m.Accepted)
	dst = appendOptionalRaw(dst, memberCurrentState, m.CurrentState)
	dst = appendOptionalRaw(dst, memberPatch, m.Patch)
	dst = appendIfTrue(dst, memberReplayed, m.Replayed)
	if m.Revision != 0 {
		dst = appendInteger(dst, memberRevision, m.Revision)
	}
	dst = appendOptionalText(dst, memberFunctionID, m.FunctionID)
	dst = appendOptionalText(dst, memberStateHash, m.StateHash)
	dst = appendOptionalRaw(dst, memberActivity, m.Activity)
	return append(dst, '}')
}

// AppendTo implements [ServerMessage].
func (m *Lifecycle) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeLifecycle, len(m.CurrentState)+len(m.Patch)+len(m.Activity))
	dst = appendText(dst, memberShareDataID, m.ShareDataID)
	dst = appendText(dst, memberEvent, m.Event)
	dst = appendOptionalRaw(dst, memberCurrentState, m.CurrentState)
	dst = appendOptionalRaw(dst, memberPatch, m.Patch)
	dst = appendIfTrue(dst, memberReplayed, m.Replayed)
	dst = appendPosition(dst, m.Cursor, m.Revision)
	dst = appendOptionalText(dst, memberStateHash, m.StateHash)
	dst = appendOptionalRaw(dst, memberActivity, m.Activity)
	return append(dst, '}')
}

// AppendTo implements [ServerMessage].
func (m *ProposalResult) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeProposalResult, len(m.Details))
	dst = appendText(dst, memberCorrelationID, m.CorrelationID)
	dst = appendBool(dst, memberAccepted, m.Accepted)
	dst = appendOptionalText(dst, memberTransactionID, m.TransactionID)
	dst = appendOptionalText(dst, memberError, m.Error)
	dst = appendIfTrue(dst, memberDuplicate, m.Duplicate)
	dst = appendOptionalText(dst, memberCode, m.Code)
	dst = appendOptionalRaw(dst, memberDetails, m.Details)
	if m.RetryAfterMs != 0 {
		dst = appendInteger(dst, memberRetryAfterMs, m.RetryAfterMs)
	}
	return append(dst, '}')
}

// AppendTo implements [ServerMessage].
func (m *Pong) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypePong, 0)
	dst = appendText(dst, memberCorrelationID, m.CorrelationID)
	if m.HasTokenExpiresIn {
		dst = appendInteger(dst, memberTokenExpiresInMs, m.TokenExpiresInMs)
	}
	return append(dst, '}')
}

// AppendTo implements [ServerMessage].
func (m *Authenticated) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeAuthenticated, 0)
	dst = appendText(dst, memberCorrelationID, m.CorrelationID)
	if m.HasTokenExpiresIn {
		dst = appendInteger(dst, memberTokenExpiresInMs, m.TokenExpiresInMs)
	}
	return append(dst, '}')
}

// AppendTo implements [ServerMessage].
func (m *Error) AppendTo(dst []byte) []byte {
	dst = begin(dst, TypeError, 0)
	dst = appendText(dst, memberCode, m.Code)
	dst = appendText(dst, memberMessage, m.Message)
	dst = appendOptionalText(dst, memberCorrelationID, m.CorrelationID)
	dst = appendOptionalText(dst, memberShareDataID, m.ShareDataID)
	if m.RetryAfterMs != 0 {
		dst = appendInteger(dst, memberRetryAfterMs, m.RetryAfterMs)
	}
	return append(dst, '}')
}

// begin appends the envelope. It makes room for the raw values, and for what the
// other members usually take, so that a frame takes one allocation.
func begin(dst []byte, typeName string, rawBytes int) []byte {
	dst = slices.Grow(dst, 256+rawBytes)
	dst = append(dst, `{"v":1,"type":"`...)
	dst = append(dst, typeName...)
	return append(dst, '"')
}

func appendName(dst []byte, m member) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, memberNames[m]...)
	return append(dst, '"', ':')
}

func appendText(dst []byte, m member, value string) []byte {
	// The error means only that bytes have become U+FFFD.
	dst, _ = jsontext.AppendQuote(appendName(dst, m), value)
	return dst
}

func appendOptionalText(dst []byte, m member, value string) []byte {
	if value == "" {
		return dst
	}
	return appendText(dst, m, value)
}

func appendRaw(dst []byte, m member, value json.RawMessage) []byte {
	dst = appendName(dst, m)
	if len(value) == 0 {
		return append(dst, "null"...)
	}
	return append(dst, value...)
}

func appendOptionalRaw(dst []byte, m member, value json.RawMessage) []byte {
	if len(value) == 0 {
		return dst
	}
	return appendRaw(dst, m, value)
}

func appendBool(dst []byte, m member, value bool) []byte {
	return strconv.AppendBool(appendName(dst, m), value)
}

func appendIfTrue(dst []byte, m member, value bool) []byte {
	if !value {
		return dst
	}
	return appendBool(dst, m, true)
}

func appendInteger(dst []byte, m member, value uint64) []byte {
	return strconv.AppendUint(appendName(dst, m), value, 10)
}

// appendPosition appends a cursor and its revision, or neither.
func appendPosition(dst []byte, cursor string, revision uint64) []byte {
	dst = appendOptionalText(dst, memberCursor, cursor)
	if cursor != "" || revision != 0 {
		dst = appendInteger(dst, memberRevision, revision)
	}
	return dst
}

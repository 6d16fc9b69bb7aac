package wire

import (
	"github.com/go-json-experiment/json/jsontext"
)

// DecodeClient decodes a frame from a client. Any number of goroutines may
// call it at the same time.
//
// It accepts exactly the frames that the JSON Schema client-message.json allows,
// if they are strict JSON (RFC 8259 and RFC 7493, section 2: UTF-8 without lone
// surrogates, no name twice in an object at any level, nothing after the object
// but white space) and within limits. Members may come in any order; unknown
// members may have any value and are ignored. For any other frame the error is a
// [*DecodeError], and the message is nil.
//
// Raw values of the message (such as currentState and patch) are
// slices of data, not copies: the caller must not change data while the message
// is in use, and such a slice keeps all of data in memory. Strings are copies.
func DecodeClient(data []byte, limits Limits) (ClientMessage, error) {
	f := readFrame(data, limits.bytes(defaultClientBytes), limits.depth())
	defer f.release()
	var message ClientMessage
	switch string(f.readType()) {
	case TypeSubscribe:
		message = f.subscribe()
	case TypeUnsubscribe:
		message = f.unsubscribe()
	case TypePropose:
		message = f.propose()
	case TypePing:
		message = f.ping()
	case TypeAuthenticate:
		message = f.authenticate()
	default:
		f.failType("subscribe, unsubscribe, propose, ping or authenticate")
	}
	if f.failure != nil {
		return nil, f.failure
	}
	return message, nil
}

// DecodeServer decodes a frame from a server, in the same way as [DecodeClient].
// The JSON Schema is server-message.json.
func DecodeServer(data []byte, limits Limits) (ServerMessage, error) {
	f := readFrame(data, limits.bytes(unlimited), limits.depth())
	defer f.release()
	var message ServerMessage
	switch string(f.readType()) {
	case TypeState:
		message = f.state()
	case TypeTransaction:
		message = f.transaction()
	case TypeLifecycle:
		message = f.lifecycle()
	case TypeProposalResult:
		message = f.proposalResult()
	case TypePong:
		message = f.pong()
	case TypeAuthenticated:
		message = f.authenticated()
	case TypeError:
		message = f.error()
	default:
		f.failType("state, transaction, lifecycle, proposal-result, pong, authenticated or error")
	}
	if f.failure != nil {
		return nil, f.failure
	}
	return message, nil
}

// readType checks the version and returns the type. It returns nil if one of them
// is missing or wrong, or if the frame has failed before.
func (f *frame) readType() []byte {
	switch {
	case f.failure != nil:
		return nil
	case !f.has(memberV):
		f.fail(ErrVersion, memberV.pointer(), -1, "missing")
		return nil
	case f.kind(memberV) != jsontext.KindNumber:
		f.fail(ErrVersion, memberV.pointer(), f.values[memberV].start, "must be the number 1, not "+kindName(f.kind(memberV)))
		return nil
	}
	if version, ok := parseInteger(f.value(memberV)); !ok || version != Version {
		f.fail(ErrVersion, memberV.pointer(), f.values[memberV].start, "must be 1")
		return nil
	}
	switch {
	case !f.has(memberType):
		f.fail(ErrType, memberType.pointer(), -1, "missing")
		return nil
	case f.kind(memberType) != jsontext.KindString:
		f.fail(ErrType, memberType.pointer(), f.values[memberType].start, "must be a string, not "+kindName(f.kind(memberType)))
		return nil
	}
	return f.unquote(f.value(memberType))
}

// failType fails because the type is a string, but none of the wanted ones.
func (f *frame) failType(want string) {
	if f.failure == nil {
		got := abbreviated(string(f.unquote(f.value(memberType))))
		f.fail(ErrType, memberType.pointer(), f.values[memberType].start, "must be "+want+", not "+got)
	}
}

func (f *frame) subscribe() *Subscribe {
	m := &Subscribe{
		ShareDataID:     f.id(memberShareDataID),
		ReplayLifecycle: f.optionalFlag(memberReplayLifecycle),
		KeepConnection:  f.optionalFlag(memberKeepConnection),
		Patches:         f.optionalFlag(memberPatches),
		IncludeState:    f.optionalFlag(memberIncludeState),
		Activity:        f.optionalFlag(memberActivity),
		Conflate:        f.optionalFlag(memberConflate),
	}
	if f.has(memberSince) {
		m.Since = f.checkedString(memberSince, 0, maxCursor)
	}
	return m
}

func (f *frame) unsubscribe() *Unsubscribe {
	return &Unsubscribe{ShareDataID: f.id(memberShareDataID)}
}

func (f *frame) propose() *Propose {
	m := &Propose{
		ShareDataID:   f.id(memberShareDataID),
		FunctionID:    f.id(memberFunctionID),
		ProposedData:  f.raw(memberProposedData),
		CorrelationID: f.correlationID(),
	}
	// A client that always writes the member writes null for no proof.
	if f.kind(memberProof) != jsontext.KindNull {
		m.Proof = f.optionalRaw(memberProof)
	}
	if f.has(memberIdempotencyKey) {
		m.IdempotencyKey = f.checkedString(memberIdempotencyKey, 1, maxIdempotencyKey)
	}
	return m
}

func (f *frame) ping() *Ping {
	return &Ping{CorrelationID: f.correlationID(), TokenExpiry: f.optionalFlag(memberTokenExpiry)}
}

// authenticate reads a secret: no failure of it may quote a value.
func (f *frame) authenticate() *Authenticate {
	m := &Authenticate{CorrelationID: f.correlationID()}
	if f.require(memberToken) {
		m.Token = f.checkedString(memberToken, 1, maxToken)
	}
	return m
}

func (f *frame) state() *State {
	m := &State{
		ShareDataID:  f.name(memberShareDataID),
		CurrentState: f.optionalRaw(memberCurrentState),
		Resumed:      f.optionalFlag(memberResumed),
	}
	if !m.Resumed {
		f.require(memberCurrentState)
	}
	if f.require(memberLastTransactionID) && f.kind(memberLastTransactionID) != jsontext.KindNull {
		m.LastTransactionID = f.text(memberLastTransactionID)
	}
	m.Cursor = f.optionalText(memberCursor)
	m.Revision = f.optionalInteger(memberRevision)
	m.Replaying = f.optionalInteger(memberReplaying)
	m.HasReplaying = f.has(memberReplaying)
	m.StateHash = f.stateHash()
	m.Skipped = f.skipped()
	return m
}

func (f *frame) transaction() *Transaction {
	return &Transaction{
		ShareDataID:   f.name(memberShareDataID),
		TransactionID: f.name(memberTransactionID),
		Accepted:      f.flag(memberAccepted),
		CurrentState:  f.optionalRaw(memberCurrentState),
		Patch:         f.optionalArray(memberPatch),
		Replayed:      f.optionalFlag(memberReplayed),
		Revision:      f.optionalInteger(memberRevision),
		FunctionID:    f.optionalText(memberFunctionID),
		StateHash:     f.stateHash(),
		Activity:      f.optionalObject(memberActivity),
	}
}

func (f *frame) lifecycle() *Lifecycle {
	return &Lifecycle{
		ShareDataID:  f.name(memberShareDataID),
		Event:        f.event(),
		CurrentState: f.optionalRaw(memberCurrentState),
		Patch:        f.optionalArray(memberPatch),
		Replayed:     f.optionalFlag(memberReplayed),
		Cursor:       f.optionalText(memberCursor),
		Revision:     f.optionalInteger(memberRevision),
		StateHash:    f.stateHash(),
		Activity:     f.optionalObject(memberActivity),
	}
}

func (f *frame) event() string {
	switch event := f.text(memberEvent); event {
	case EventUpdated, EventRemoved:
		return event
	default:
		f.refuse(memberEvent, `must be "updated" or "removed", not `+abbreviated(event))
		return ""
	}
}

func (f *frame) proposalResult() *ProposalResult {
	return &ProposalResult{
		CorrelationID: f.correlationID(),
		Accepted:      f.flag(memberAccepted),
		TransactionID: f.optionalText(memberTransactionID),
		Error:         f.optionalText(memberError),
		Duplicate:     f.optionalFlag(memberDuplicate),
		Code:          f.optionalText(memberCode),
		Details:       f.optionalRaw(memberDetails),
		RetryAfterMs:  f.optionalInteger(memberRetryAfterMs),
	}
}

func (f *frame) pong() *Pong {
	m := &Pong{CorrelationID: f.correlationID()}
	m.TokenExpiresInMs, m.HasTokenExpiresIn = f.tokenExpiresIn()
	return m
}

func (f *frame) authenticated() *Authenticated {
	m := &Authenticated{CorrelationID: f.correlationID()}
	m.TokenExpiresInMs, m.HasTokenExpiresIn = f.tokenExpiresIn()
	return m
}

func (f *frame) tokenExpiresIn() (milliseconds uint64, has bool) {
	return f.optionalInteger(memberTokenExpiresInMs), f.has(memberTokenExpiresInMs)
}

func (f *frame) error() *Error {
	m := &Error{
		Code:         f.name(memberCode),
		Message:      f.text(memberMessage),
		ShareDataID:  f.optionalText(memberShareDataID),
		RetryAfterMs: f.optionalInteger(memberRetryAfterMs),
	}
	if f.has(memberCorrelationID) {
		m.CorrelationID = f.checkedString(memberCorrelationID, 0, maxCorrelationID)
	}
	return m
}

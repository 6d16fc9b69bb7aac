package sharedata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/replay"
)

// The record of an entry is written without encoding/json: the entry's hash is
// computed from it, so every release must write the same bytes for an entry.

// appendRecord appends an entry's JSON text.
func appendRecord(dst []byte, e *Entry) []byte {
	return appendHash(appendBody(dst, e), e.Hash)
}

// recordSize returns about the length of an entry's record, so that most records
// are written without growing a slice: the members that every transaction has take
// up to 450 bytes.
func (e *Entry) recordSize() int {
	size := 450 + len(e.ShareDataID) + len(e.Kind) + len(e.FunctionID) + len(e.Data) +
		len(e.Reason) + len(e.Code) + len(e.Details) + len(e.IdempotencyKey) + len(e.Proof) +
		len(e.Patch) + len(e.NewState)
	if e.Caller != nil {
		size += 60 + len(e.Caller.Subject) + len(e.Caller.Issuer) + len(e.Caller.Claims)
		for _, service := range e.Caller.Audience {
			size += 3 + len(service)
		}
	}
	return size
}

// appendBody appends the part of the record that the hash is computed from.
func appendBody(dst []byte, e *Entry) []byte {
	dst = append(dst, `{"shareDataId":`...)
	dst = appendString(dst, e.ShareDataID)
	dst = append(dst, `,"cursor":"`...)
	dst = e.Cursor.AppendTo(dst)
	dst = append(dst, `","type":`...)
	dst = appendString(dst, string(e.Type))
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	if e.Kind != "" {
		dst = appendString(append(dst, `,"kind":`...), e.Kind)
	}
	if !e.Continues.IsZero() {
		dst = append(e.Continues.AppendTo(append(dst, `,"continues":"`...)), '"')
	}
	if e.Type == EntryTransaction {
		dst = appendString(append(dst, `,"functionId":`...), e.FunctionID)
		dst = appendRaw(append(dst, `,"proposedData":`...), e.Data)
		if e.Accepted {
			dst = append(dst, `,"accepted":true`...)
		} else {
			dst = appendString(append(dst, `,"accepted":false,"reason":`...), e.Reason)
			if e.Code != "" {
				dst = appendString(append(dst, `,"code":`...), e.Code)
			}
			if e.Details != nil {
				dst = appendRaw(append(dst, `,"details":`...), e.Details)
			}
		}
	}
	if e.IdempotencyKey != "" {
		dst = appendString(append(dst, `,"idempotencyKey":`...), e.IdempotencyKey)
	}
	if e.Proof != nil {
		dst = appendRaw(append(dst, `,"proof":`...), e.Proof)
	}
	if e.Caller != nil {
		dst = appendCaller(append(dst, `,"caller":`...), e.Caller)
	}
	// The text of these two is canonical already: that of every state is.
	if e.Patch != nil {
		dst = append(append(dst, `,"patch":`...), e.Patch...)
	}
	if e.NewState != nil {
		dst = append(append(dst, `,"state":`...), e.NewState...)
	}
	if e.Type != EntryRemoved {
		dst = appendHex(append(dst, `,"stateHash":"`...), e.StateHash)
	}
	return appendHex(append(dst, `,"previous":"`...), e.Previous)
}

func appendCaller(dst []byte, c *Caller) []byte {
	dst = appendString(append(dst, `{"subject":`...), c.Subject)
	if c.Issuer != "" {
		dst = appendString(append(dst, `,"issuer":`...), c.Issuer)
	}
	if len(c.Audience) > 0 {
		separator := `,"audience":[`
		for _, service := range c.Audience {
			dst = appendString(append(dst, separator...), service)
			separator = ","
		}
		dst = append(dst, ']')
	}
	if c.Claims != nil {
		dst = appendRaw(append(dst, `,"claims":`...), c.Claims)
	}
	return append(dst, '}')
}

// appendHash completes a record.
func appendHash(body []byte, hash Hash) []byte {
	return append(appendHex(append(body, `,"hash":"`...), hash), '}')
}

// appendHex appends the digits of a hash and the closing quotation mark.
func appendHex(dst []byte, hash Hash) []byte {
	const digits = "0123456789abcdef"
	for _, b := range hash {
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return append(dst, '"')
}

func appendString(dst []byte, text string) []byte {
	// The only error is for invalid UTF-8, which AppendQuote replaces.
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}

// appendRaw appends a JSON value in the form in which encoding/json writes raw
// JSON: without space between tokens, and with <, >, & and the line separators
// escaped. So an entry that is decoded and encoded again keeps its hash.
func appendRaw(dst []byte, raw json.RawMessage) []byte {
	switch {
	case len(raw) == 0:
		return append(dst, "null"...)
	case !bytes.ContainsAny(raw, " \t\r\n<>&\u2028\u2029"):
		return append(dst, raw...)
	}
	var compact, escaped bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return append(dst, raw...) // unreachable: the value was checked before
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return append(dst, escaped.Bytes()...)
}

// recordHas reports whether the record is that of the entry with the hash.
func recordHas(record []byte, hash Hash) bool {
	return bytes.HasSuffix(record, appendHash(nil, hash))
}

// record is what encoding/json decodes a record into.
type record struct {
	ShareDataID    string          `json:"shareDataId"`
	Cursor         replay.Cursor   `json:"cursor"`
	Type           EntryType       `json:"type"`
	Time           time.Time       `json:"time"`
	Kind           string          `json:"kind"`
	Continues      replay.Cursor   `json:"continues"`
	FunctionID     string          `json:"functionId"`
	Data           json.RawMessage `json:"proposedData"`
	Accepted       bool            `json:"accepted"`
	Reason         string          `json:"reason"`
	Code           string          `json:"code"`
	Details        json.RawMessage `json:"details"`
	IdempotencyKey string          `json:"idempotencyKey"`
	Proof          json.RawMessage `json:"proof"`
	Caller         *struct {
		Subject  string          `json:"subject"`
		Issuer   string          `json:"issuer"`
		Audience []string        `json:"audience"`
		Claims   json.RawMessage `json:"claims"`
	} `json:"caller"`
	Patch     json.RawMessage `json:"patch"`
	State     json.RawMessage `json:"state"`
	StateHash Hash            `json:"stateHash"`
	Previous  Hash            `json:"previous"`
	Hash      Hash            `json:"hash"`
}

// decodeRecord decodes what appendRecord wrote. Its error is ErrBadRecord. It does
// not check the hash; Verify does.
func decodeRecord(data []byte) (Entry, error) {
	var r record
	if err := jsonv2.Unmarshal(data, &r); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	switch r.Type {
	case EntryCreated, EntryTransaction, EntryUpdated, EntryRemoved:
	default:
		return Entry{}, fmt.Errorf("%w: its type is %.40q", ErrBadRecord, r.Type)
	}
	if year := r.Time.UTC().Year(); year < 0 || year > 9999 {
		return Entry{}, fmt.Errorf("%w: its time is in the year %d", ErrBadRecord, year)
	}
	if !isCanonical(r.Patch) || !isCanonical(r.State) {
		return Entry{}, fmt.Errorf("%w: its patch or its state is not in canonical form", ErrBadRecord)
	}
	e := Entry{
		ShareDataID: r.ShareDataID, Cursor: r.Cursor, Type: r.Type, Time: r.Time,
		Kind: r.Kind, Continues: r.Continues, FunctionID: r.FunctionID, Data: r.Data, Accepted: r.Accepted,
		Code: r.Code, Reason: r.Reason, Details: r.Details,
		IdempotencyKey: r.IdempotencyKey, Proof: r.Proof, Patch: r.Patch, NewState: r.State,
		StateHash: r.StateHash, Previous: r.Previous, Hash: r.Hash,
	}
	if r.Caller != nil {
		e.Caller = &Caller{Subject: r.Caller.Subject, Issuer: r.Caller.Issuer, Audience: r.Caller.Audience, Claims: r.Caller.Claims}
	}
	return e, nil
}

package sharedata

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/safe-go/safe/replay"
)

// EntryType says what an entry records.
type EntryType string

// The types of entries.
const (
	// EntryCreated is the first entry of every history.
	EntryCreated EntryType = "created"
	// EntryTransaction is the verdict on a proposal, accepted or rejected.
	EntryTransaction EntryType = "transaction"
	// EntryUpdated is the replacement of the whole state by Manager.Update.
	EntryUpdated EntryType = "updated"
	// EntryRemoved is the last entry of a history, after a removal.
	EntryRemoved EntryType = "removed"
)

// Hash is a SHA-256 digest (FIPS 180-4), written as 64 hexadecimal digits.
type Hash [sha256.Size]byte

// String writes the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hash as String does.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return errors.New("a hash is 64 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Entry is one step of a ShareData's history. Its JSON text is also its record in
// the store. Its hash is the SHA-256 of that text up to and including the member
// "previous", that is without ,"hash":"…"} at its end.
type Entry struct {
	// ShareDataID is the ShareData's.
	ShareDataID string
	// Cursor is the entry's position. A transaction's is its transactionId.
	Cursor replay.Cursor
	// Type says what the entry records, and so which of the fields below are set.
	Type EntryType
	// Time is when it was decided, by the clock of the process that appended it.
	Time time.Time

	// Kind names the kind of a created ShareData; empty for none.
	Kind string
	// Continues is set in the first entry of an epoch in which a history was
	// restarted, because the store had lost its end (a rollback, as after a
	// fail-over). It is the position from which the state was taken, and Previous
	// is the Hash of the entry there. Otherwise it is zero.
	Continues replay.Cursor
	// FunctionID is the transaction's function; empty for an internal one.
	FunctionID string
	// Data is the transaction's proposed data. When it comes from the store it has
	// the form in which encoding/json writes raw JSON: without space between
	// tokens, and with <, > and & escaped.
	Data json.RawMessage
	// Accepted is the transaction's verdict.
	Accepted bool
	// Code, Reason and Details are those of the Rejection; empty where the
	// transaction was accepted. Details has the form of Data.
	Code    string
	Reason  string
	Details json.RawMessage
	// IdempotencyKey is the proposal's; empty for none.
	IdempotencyKey string
	// Proof is the transaction's, as Options.ProofVerifier accepted it; nil for none. It
	// has the form of Data.
	Proof json.RawMessage
	// Caller is the caller of the proposal or change; nil if none was named. Its
	// Value is not recorded.
	Caller *Caller

	// Patch leads from the text of the state before the entry to the one after it (RFC
	// 6902, with add, remove and replace only; package internal/jsonpatch has the exact
	// text). It is [] where an accepted transaction left the state as it was, and nil
	// where the entry has a NewState and where it changes no state by its nature, as a
	// rejection.
	Patch json.RawMessage
	// NewState is the whole state after the entry, where it has no Patch: in the entries
	// that create or replace the state, and where a patch would not be smaller. An
	// accepted transaction with neither was written by an earlier release, which did
	// not record what transactions change.
	NewState json.RawMessage
	// StateHash is the hash of the state after the entry; zero for a removal.
	StateHash Hash
	// Previous is the Hash of the entry before; zero in the first entry, unless
	// that Continues another one.
	Previous Hash
	// Hash is the entry's own.
	Hash Hash
}

// RecordsEffect reports whether the entry says what it changed: by a Patch, a NewState, or
// because it changes nothing by its nature. It is false for what earlier releases
// recorded of accepted transactions, creations and updates.
func (e *Entry) RecordsEffect() bool {
	switch {
	case e.Patch != nil || e.NewState != nil || e.Type == EntryRemoved:
		return true
	}
	return e.Type == EntryTransaction && !e.Accepted
}

// Revision returns the entry's number in its history, from 1.
func (e Entry) Revision() uint64 { return e.Cursor.Revision }

// MarshalJSON writes the record. Encoding and decoding keep the hash, so a history
// can be exported as JSON and verified elsewhere.
func (e Entry) MarshalJSON() ([]byte, error) {
	return appendRecord(make([]byte, 0, e.recordSize()), &e), nil
}

// UnmarshalJSON reads a record. It fails with ErrBadRecord. The hashes are those
// in the record: Verify checks them.
func (e *Entry) UnmarshalJSON(data []byte) error {
	decoded, err := decodeRecord(data)
	if err != nil {
		return err
	}
	*e = decoded
	return nil
}

// seal chains the entry to the one before, sets its own hash and returns the
// record.
func (e *Entry) seal(previous Hash) []byte {
	e.Previous = previous
	body := appendBody(make([]byte, 0, e.recordSize()), e)
	e.Hash = sha256.Sum256(body)
	return appendHash(body, e.Hash)
}

// computeHash returns the hash of the entry's contents, which is Hash unless the
// entry was changed.
func (e *Entry) computeHash() Hash {
	return sha256.Sum256(appendBody(make([]byte, 0, e.recordSize()), e))
}

// HashState returns the SHA-256 of a state, which is the StateHash of an entry
// that led to it; zero for nil.
func HashState(state json.RawMessage) Hash {
	if state == nil {
		return Hash{}
	}
	return sha256.Sum256(state)
}

// ErrBadRecord: a record in the store, or the JSON text of an Entry, cannot be
// decoded. The store is damaged, or a later release wrote it.
var ErrBadRecord = errors.New("not the record of an entry")

// entryFrom decodes an entry that the store returned. It fails with ErrBadRecord,
// also where the record is that of another entry.
func entryFrom(id string, stored replay.Entry) (Entry, error) {
	e, err := decodeRecord(stored.Data)
	switch {
	case err != nil:
		return e, fmt.Errorf("%.60q at %s: %w", id, stored.Cursor, err)
	case e.ShareDataID != id || e.Cursor != stored.Cursor:
		return e, fmt.Errorf("%.60q at %s: %w: it is that of %.60q at %s",
			id, stored.Cursor, ErrBadRecord, e.ShareDataID, e.Cursor)
	}
	return e, nil
}

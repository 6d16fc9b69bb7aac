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
	// EntryUpdated is a wholesale update.
	EntryUpdated EntryType = "updated"
	// EntryRemoved is the last entry of a history that was ended.
	EntryRemoved EntryType = "removed"
)

// Hash is a SHA-256 digest (FIPS 180-4), written as 64 hexadecimal digits.
type Hash [sha256.Size]byte

// String writes the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hash as String does.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what String wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return errors.New("a hash is 64 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Entry is one step of a ShareData's history. Its JSON text, which is also the
// record in the store, is what its hash is taken of: SHA-256 over the text up
// to and including the member "previous", that is without
// ,"hash":"…"} at its end.
type Entry struct {
	// ShareDataID is the ShareData's.
	ShareDataID string
	// Cursor is the entry's position. A transaction's is its transactionId.
	Cursor replay.Cursor
	// Type says which of the fields below mean something.
	Type EntryType
	// Time is when it was decided, by the clock of the process that decided.
	Time time.Time

	// Kind names the kind of a created ShareData; empty for none.
	Kind string
	// Continues is zero but for the first entry of an epoch in which a history
	// was started over, because the store had gone back behind what was known
	// of it. It is the position from which the state was taken, and Previous is
	// that entry's Hash.
	Continues replay.Cursor
	// FunctionID is the transaction's function; empty for an internal one.
	FunctionID string
	// Data is the transaction's proposed data. The record has it as encoding/json
	// writes raw JSON: without space between tokens, and with <, > and & escaped.
	Data json.RawMessage
	// Accepted is the transaction's verdict.
	Accepted bool
	// Code, Reason and Details are those of the Rejection; empty where the
	// transaction was accepted. The record has Details in the form of Data.
	Code    string
	Reason  string
	Details json.RawMessage
	// IdempotencyKey is the proposal's; empty for none.
	IdempotencyKey string
	// Caller is who asked for it; nil if nobody was named. Value is not kept.
	Caller *Caller

	// StateHash is the hash of the state after the entry; zero for a removal.
	StateHash Hash
	// Previous is the Hash of the entry before; zero in a first one that
	// continues nothing.
	Previous Hash
	// Hash is the entry's own.
	Hash Hash
}

// Revision is the entry's number in its history, from 1.
func (e Entry) Revision() uint64 { return e.Cursor.Revision }

// MarshalJSON writes the record. An entry that goes through encoding/json keeps
// its hash, so a history can be kept and verified anywhere as JSON.
func (e Entry) MarshalJSON() ([]byte, error) { return appendRecord(nil, &e), nil }

// UnmarshalJSON reads a record, keeping the hashes that it claims; Verify
// checks them.
func (e *Entry) UnmarshalJSON(data []byte) error {
	decoded, err := decodeRecord(data)
	if err != nil {
		return err
	}
	*e = decoded
	return nil
}

// seal chains the entry to the one before and sets its own hash. It returns
// the record.
func (e *Entry) seal(previous Hash) []byte {
	e.Previous = previous
	const usual = 512 // what the other members usually take
	body := appendBody(make([]byte, 0, usual+len(e.ShareDataID)+len(e.FunctionID)+len(e.Data)+len(e.Reason)+len(e.Details)), e)
	e.Hash = sha256.Sum256(body)
	return appendHash(body, e.Hash)
}

// computeHash returns the hash that the entry ought to have.
func (e *Entry) computeHash() Hash { return sha256.Sum256(appendBody(nil, e)) }

// HashState returns what StateHash is after an entry that led to the state: its
// SHA-256; zero for nil.
func HashState(state json.RawMessage) Hash {
	if state == nil {
		return Hash{}
	}
	return sha256.Sum256(state)
}

// ErrBadRecord is returned for a record in the store, or an entry's JSON text,
// that is not one.
var ErrBadRecord = errors.New("not the record of an entry")

// entryFrom decodes an entry that the store returned.
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

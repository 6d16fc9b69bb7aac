package audit

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// CheckpointType is the member typ in the header of a checkpoint (RFC 7515 section
// 4.1.9). It distinguishes checkpoints from other messages signed with the same key.
const CheckpointType = "safe-checkpoint+jws"

// Checkpoint is the statement of a service that, at a time, a history had an entry with
// a hash. Because of the chain, this is a statement about all entries up to that one.
type Checkpoint struct {
	// ShareDataID is the ShareData's.
	ShareDataID string
	// Cursor is the position of the entry.
	Cursor replay.Cursor
	// Hash is the entry's.
	Hash sharedata.Hash
	// Time is when the checkpoint was signed, by the clock of the signer.
	Time time.Time
	// JWS is the signed text: a JWS in the compact serialization (RFC 7515 section 7.1)
	// of the fields above. Signer.Sign and ParseCheckpoint set it.
	JWS string
}

// checkpointPayload is the payload of a checkpoint, with its members in the order of
// RFC 8785 section 3.2.3.
type checkpointPayload struct {
	Cursor      replay.Cursor  `json:"cursor"`
	Hash        sharedata.Hash `json:"hash"`
	ShareDataID string         `json:"shareDataId"`
	Time        time.Time      `json:"time"`
}

// payload returns the canonical JSON text (RFC 8785) that is signed.
func (c *Checkpoint) payload() ([]byte, error) {
	text, err := jsonv2.Marshal(checkpointPayload{c.Cursor, c.Hash, c.ShareDataID, c.Time.UTC()})
	if err != nil {
		return nil, err
	}
	canonical := jsontext.Value(text)
	err = canonical.Canonicalize()
	return canonical, err
}

// ParseCheckpoint verifies a checkpoint with the public keys of the service. It fails
// with ErrBadCheckpoint: the text is not a JWS of the CheckpointType with EdDSA or ES256
// over a canonical payload, or none of the keys signed it.
func ParseCheckpoint(compact string, keys jwk.Set) (Checkpoint, error) {
	if keys == nil {
		return Checkpoint{}, fmt.Errorf("%w: it cannot be verified without the public keys of the service", ErrBadCheckpoint)
	}
	message, err := jose.Parse(compact)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
	}
	if message.Header.Type != CheckpointType || !slices.Contains(algorithms[:], message.Header.Algorithm) {
		return Checkpoint{}, fmt.Errorf("%w: its type is %.40q and its algorithm %.40q; want %q, and EdDSA or ES256",
			ErrBadCheckpoint, message.Header.Type, message.Header.Algorithm, CheckpointType)
	}
	if _, err := message.Verify(keys); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
	}
	var p checkpointPayload
	if err := jsonv2.Unmarshal(message.Payload, &p, jsonv2.RejectUnknownMembers(true)); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: its payload: %w", ErrBadCheckpoint, err)
	}
	c := Checkpoint{ShareDataID: p.ShareDataID, Cursor: p.Cursor, Hash: p.Hash, Time: p.Time, JWS: compact}
	if canonical, err := c.payload(); err != nil || !bytes.Equal(canonical, message.Payload) {
		return Checkpoint{}, fmt.Errorf("%w: its payload is not canonical (RFC 8785)", ErrBadCheckpoint)
	}
	return c, nil
}

// algorithms are those that checkpoints may be signed with. A party that can verify an
// HMAC can also make one, so an HMAC proves nothing to anybody else.
var algorithms = [...]string{"EdDSA", "ES256"}

// timeText returns the time of a checkpoint for an error.
func timeText(c *Checkpoint) string { return c.Time.Format(time.RFC3339) }

package proof

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Claims state what a proof authorizes; the proposed data is signed with them.
type Claims struct {
	Caller Caller `json:"caller"`
	// Position is the cursor of the entry that the transaction would follow.
	Position string `json:"position"`
	// Purpose is the id of the function.
	Purpose     string `json:"purpose"`
	ShareDataID string `json:"shareDataId"`
	// StateHash is the SHA-256 of the state at the Position, in lower-case hexadecimal.
	StateHash string `json:"stateHash"`
}

// Caller identifies the proposer. Both strings are empty where the proposer is not known.
type Caller struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// ErrData: the proposed data has no canonical form that keeps its meaning.
var ErrData = errors.New("the proposed data cannot be proven")

// Document returns the document that is signed: the claims and the proposed data as one
// object in the canonical form of RFC 8785. The data must be valid JSON. The error is
// ErrData, or says which claim is not UTF-8.
func (c *Claims) Document(data json.RawMessage) ([]byte, error) {
	if number := inexactNumber(data); number != "" {
		return nil, fmt.Errorf("%w: the number %.40s would be another one in canonical form (RFC 8785), which has IEEE 754 double precision; propose it as a string", ErrData, number)
	}
	canonical := jsontext.Value(data).Clone()
	if err := canonical.Canonicalize(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrData, err)
	}
	// The members are written in the order that RFC 8785 demands.
	d := document{text: make([]byte, 0, len(canonical)+400)}
	d.add(`{"caller":{"issuer":`, c.Caller.Issuer)
	d.add(`,"subject":`, c.Caller.Subject)
	d.add(`},"position":`, c.Position)
	d.text = append(append(d.text, `,"proposedData":`...), canonical...)
	d.add(`,"purpose":`, c.Purpose)
	d.add(`,"shareDataId":`, c.ShareDataID)
	d.add(`,"stateHash":`, c.StateHash)
	return append(d.text, '}'), d.err
}

type document struct {
	text []byte
	err  error
}

func (d *document) add(name, value string) {
	var err error
	if d.text, err = jsontext.AppendQuote(append(d.text, name...), value); err != nil && d.err == nil {
		d.err = fmt.Errorf("%.60q is not UTF-8: %w", value, err)
	}
}

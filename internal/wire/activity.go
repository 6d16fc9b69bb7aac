package wire

import (
	"encoding/json"
	"time"
)

// Activity is the object in the member activity of a transaction or a wholesale
// update: what was proposed or given, by whom, and why it was rejected. A server
// may leave any member out, so a receiver takes the object as far as it reads it.
type Activity struct {
	// Time is when the entry was decided, in RFC 3339.
	Time time.Time `json:"time"`
	// Subject and Issuer name the caller; empty for one without a name.
	Subject string `json:"subject,omitempty"`
	Issuer  string `json:"issuer,omitempty"`
	// ProposedData is the proposal's data; nil in a lifecycle frame.
	ProposedData json.RawMessage `json:"proposedData,omitempty"`
	// Code, Reason and Details are those of a rejection.
	Code    string          `json:"code,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Details json.RawMessage `json:"details,omitempty"`
}

package interop_test

import (
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/safe-go/safe/replay"
)

// event is an event of an actor.
type event struct {
	Event string
	// Frame is the frame that the published client delivered.
	Frame struct {
		ShareDataID       string
		CurrentState      json.RawMessage
		LastTransactionID *string
		TransactionID     string
		Accepted          bool
		Replayed          bool
		Event             string
	}
	Code    int
	Reason  string
	Message string
}

// serverError is the text that the published client makes of an error frame.
var serverError = regexp.MustCompile(`^server error: ([a-z-]+) — `)

// String returns a short description, in which cursors are revisions.
func (e event) String() string {
	f := &e.Frame
	switch e.Event {
	case "state":
		last := "none"
		if f.LastTransactionID != nil {
			last = place(*f.LastTransactionID)
		}
		return fmt.Sprintf("state of %s: %s, last %s", f.ShareDataID, f.CurrentState, last)
	case "transaction":
		return fmt.Sprintf("%s of %s %s%s", place(f.TransactionID), f.ShareDataID, verdict(f.Accepted), stateOf(f.CurrentState, f.Replayed))
	case "lifecycle":
		return fmt.Sprintf("%s %s%s", f.ShareDataID, f.Event, stateOf(f.CurrentState, f.Replayed))
	case "error":
		if match := serverError.FindStringSubmatch(e.Message); match != nil {
			return "error " + match[1]
		}
		return "error: " + e.Message
	case "close":
		return fmt.Sprintf("close %d", e.Code)
	}
	return e.Event
}

// stateOf returns the end of a description.
func stateOf(state json.RawMessage, replayed bool) string {
	text := ""
	if state != nil {
		text = ": " + string(state)
	}
	if replayed {
		text += ", replayed"
	}
	return text
}

func verdict(accepted bool) string {
	if accepted {
		return "accepted"
	}
	return "rejected"
}

// revision is a revision in the form of place.
func revision(n int) string { return fmt.Sprintf("#%d", n) }

// place shortens a cursor of this project's server to its revision, because the
// epoch differs from run to run. Those of the published server are short.
func place(cursor string) string {
	if c, err := replay.ParseCursor(cursor); err == nil {
		return fmt.Sprintf("#%d", c.Revision)
	}
	return "#" + cursor
}

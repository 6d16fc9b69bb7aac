package interop_test

import (
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/safe-go/safe/replay"
)

// event is what an actor tells of.
type event struct {
	Event string
	// Frame is what a subscription of the published client was given.
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

// serverError is how the published client words an error frame.
var serverError = regexp.MustCompile(`^server error: ([a-z-]+) — `)

// String describes the event in few words. Of cursors it shows the revision.
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

// stateOf is the end of a description.
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

// revision is how place shows a revision.
func revision(n int) string { return fmt.Sprintf("#%d", n) }

// place shortens a cursor of this project's server, whose epoch differs from
// run to run, to its revision. The published server's transactionIds are short.
func place(cursor string) string {
	if c, err := replay.ParseCursor(cursor); err == nil {
		return fmt.Sprintf("#%d", c.Revision)
	}
	return "#" + cursor
}

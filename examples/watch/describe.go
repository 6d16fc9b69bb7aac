package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/safe-go/safe/client"
)

// describe returns one line for an event.
func describe(event client.Event) string {
	switch e := event.(type) {
	case *client.State:
		text := fmt.Sprintf("state        %s at %s", e.CurrentState, e.Cursor)
		if e.Resumed {
			text += fmt.Sprintf(", resumed: %d missed events follow", e.Replaying)
		}
		if e.Skipped > 0 {
			text += fmt.Sprintf(", in place of %d events", e.Skipped)
		}
		return text
	case *client.Transaction:
		text := fmt.Sprintf("transaction  %s rejected at %s", e.FunctionID, e.TransactionID) + whileAway(e.Replayed)
		if e.Accepted {
			text = fmt.Sprintf("transaction  %s accepted at %s", e.FunctionID, e.TransactionID) + whileAway(e.Replayed) + change(e.Patch, e.CurrentState)
		}
		return text + describeActivity(e.Activity)
	case *client.Lifecycle:
		if e.Removed {
			return "removed" + describeActivity(e.Activity)
		}
		return fmt.Sprintf("updated      at %s", e.Cursor) + whileAway(e.Replayed) + change(e.Patch, e.CurrentState) + describeActivity(e.Activity)
	case *client.Gap:
		return "gap          " + e.Reason
	}
	return fmt.Sprintf("%T", event)
}

func whileAway(replayed bool) string {
	if replayed {
		return ", while away"
	}
	return ""
}

// change shows what changed, and where that is not said the state.
func change(patch, state json.RawMessage) string {
	switch {
	case patch != nil:
		return fmt.Sprintf(", changed by %s", patch)
	case state != nil:
		return fmt.Sprintf(", now %s", state)
	}
	return ""
}

// describeActivity shows what is known of a change besides its effect.
func describeActivity(a *client.Activity) string {
	if a == nil {
		return ""
	}
	text := ", on " + a.Time.Format(time.DateTime)
	if a.Subject != "" {
		text += " by " + a.Subject
	}
	if a.Issuer != "" {
		text += " of " + a.Issuer
	}
	if a.ProposedData != nil {
		text += fmt.Sprintf(" with %s", a.ProposedData)
	}
	if a.Code != "" {
		text += fmt.Sprintf(", because of %s: %s", a.Code, a.Reason)
	}
	return text
}

package client

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/safe-go/safe/internal/wire"
)

// subscribeTo is the subscribe of a client that has the state at the cursor, or neither.
func subscribeTo(id, since string) *wire.Subscribe {
	return &wire.Subscribe{ShareDataID: id, Since: since, ReplayLifecycle: since != "", KeepConnection: true, Patches: true}
}

// subscribeWithoutState is the subscribe of a client that has a cursor and no state.
func subscribeWithoutState(id, since string) *wire.Subscribe {
	frame := subscribeTo(id, since)
	frame.IncludeState = true
	return frame
}

func unsubscribeFrom(id string) *wire.Unsubscribe { return &wire.Unsubscribe{ShareDataID: id} }

func proposeFrame(id string) *wire.Propose {
	return &wire.Propose{ShareDataID: id, FunctionID: "add", ProposedData: json.RawMessage(`{"by":1}`)}
}

func acceptedAs(p *wire.Propose, transactionID string) *wire.ProposalResult {
	return &wire.ProposalResult{CorrelationID: p.CorrelationID, Accepted: true, TransactionID: transactionID}
}

// of makes a frame about another ShareData than x.
func of(id string, frame wire.ServerMessage) wire.ServerMessage {
	switch frame := frame.(type) {
	case *wire.State:
		frame.ShareDataID = id
	case *wire.Transaction:
		frame.ShareDataID = id
	}
	return frame
}

// Frames of a server of this project: every one is numbered, in epoch e.

func numbered(revision int) string { return fmt.Sprintf("e-%d", revision) }

func snapshot(epoch string, revision, replaying int) *wire.State {
	return &wire.State{
		ShareDataID: "x", CurrentState: json.RawMessage("1"),
		Cursor: fmt.Sprintf("%s-%d", epoch, revision), Revision: uint64(revision),
		Replaying: uint64(replaying), HasReplaying: true,
	}
}

func transaction(revision int) *wire.Transaction {
	return &wire.Transaction{
		ShareDataID: "x", TransactionID: numbered(revision), Revision: uint64(revision),
		Accepted: true, CurrentState: json.RawMessage("1"),
	}
}

func replayed(revision int) *wire.Transaction {
	return &wire.Transaction{
		ShareDataID: "x", TransactionID: numbered(revision), Revision: uint64(revision), Accepted: true, Replayed: true,
	}
}

func updated(revision int, replayed bool) *wire.Lifecycle {
	return &wire.Lifecycle{
		ShareDataID: "x", Event: wire.EventUpdated, Cursor: numbered(revision), Revision: uint64(revision), Replayed: replayed,
	}
}

func removed(revision int) *wire.Lifecycle {
	return &wire.Lifecycle{ShareDataID: "x", Event: wire.EventRemoved, Revision: uint64(revision)}
}

// Frames of the published server: they have ids, and no numbers.

func plainState(last string) *wire.State {
	return &wire.State{ShareDataID: "x", CurrentState: json.RawMessage("1"), LastTransactionID: last}
}

func plain(id string) *wire.Transaction {
	return &wire.Transaction{ShareDataID: "x", TransactionID: id, Accepted: true, CurrentState: json.RawMessage("1")}
}

func plainReplayed(id string) *wire.Transaction {
	return &wire.Transaction{ShareDataID: "x", TransactionID: id, Accepted: true, Replayed: true}
}

func plainUpdated() *wire.Lifecycle {
	return &wire.Lifecycle{ShareDataID: "x", Event: wire.EventUpdated, CurrentState: json.RawMessage("1")}
}

func plainRemoved() *wire.Lifecycle {
	return &wire.Lifecycle{ShareDataID: "x", Event: wire.EventRemoved}
}

// describe names an event in few words.
func describe(event Event) string {
	parseCursor := func(cursor string, revision uint64) string {
		if cursor == "" && revision > 0 {
			return fmt.Sprint(revision)
		}
		return cursor
	}
	var words []string
	switch e := event.(type) {
	case *State:
		words = append(words, "state", e.Cursor)
		if e.Resumed {
			words = append(words, "resumed")
		}
		if e.Replaying > 0 {
			words = append(words, fmt.Sprintf("+%d", e.Replaying))
		}
		if e.Skipped > 0 {
			words = append(words, fmt.Sprint("skipped ", e.Skipped))
		}
	case *Transaction:
		words = append(words, "tx", e.TransactionID)
		if e.Replayed {
			words = append(words, "replayed")
		}
	case *Lifecycle:
		words = append(words, map[bool]string{true: "removed", false: "updated"}[e.Removed])
		if p := parseCursor(e.Cursor, e.Revision); p != "" {
			words = append(words, p)
		}
		if e.Replayed {
			words = append(words, "replayed")
		}
	case *Gap:
		words = append(words, "gap", "after", e.Cursor)
	}
	return strings.Join(words, " ")
}

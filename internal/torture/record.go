package torture

import (
	"errors"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
)

// saw records an event of a user, and returns the cursor that the user has got
// to; empty where the event does not say.
func saw(record *checker.Client, id string, event client.Event) (cursor string) {
	switch e := event.(type) {
	case *client.State:
		record.State(&wire.State{
			ShareDataID: id, CurrentState: e.CurrentState, LastTransactionID: e.LastTransactionID,
			Cursor: e.Cursor, Revision: e.Revision,
		}, e.Resumed)
		if e.Replaying == 0 {
			return e.Cursor
		}
	case *client.Transaction:
		record.Frame(&wire.Transaction{
			ShareDataID: id, TransactionID: e.TransactionID, Accepted: e.Accepted, CurrentState: e.CurrentState,
			Replayed: e.Replayed, Revision: e.Revision, FunctionID: e.FunctionID,
		})
		return e.TransactionID
	case *client.Lifecycle:
		kind := wire.EventUpdated
		if e.Removed {
			kind = wire.EventRemoved
		}
		record.Frame(&wire.Lifecycle{
			ShareDataID: id, Event: kind, CurrentState: e.CurrentState,
			Replayed: e.Replayed, Cursor: e.Cursor, Revision: e.Revision,
		})
		return e.Cursor
	case *client.Gap:
		record.Gap()
	}
	return ""
}

// answer records what became of a user's proposal. A proposal without a verdict
// has an outcome that is not known.
func answer(pending *checker.Pending, result client.Result, err error) {
	refused, ok := errors.AsType[*client.ProposalError](err)
	switch {
	case ok:
		pending.Answered(checker.Answer{Error: refused.Message})
	case err == nil:
		pending.Answered(checker.Answer{
			Accepted: result.Accepted, TransactionID: result.TransactionID,
			Duplicate: result.Duplicate, Error: result.Error,
		})
	}
}

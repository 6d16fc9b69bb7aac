package main

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// The ShareData of the broker. Clients reach only "latest", through GET /events.
//
//   - "latest": event name -> the newest published event, which is all that a new page is
//     sent. Its history has each publication once, by the event's id as idempotency key.
//   - "collection/UUID": the events of one collection, in the order of insertion.
//   - "user/UUID": where a user's events are: the ids of collections rather than events, so
//     that it changes only with the first event in a collection.
//   - "$user/NAME": the id of a user and the hash of the password. Its creation decides
//     who has the name.
//   - "$schedule/N": what waits for its time, of package schedule.
const (
	latestID         = "latest"
	collectionPrefix = "collection/"
	userPrefix       = "user/"
	accountPrefix    = "$user/"

	latestKind, collectionKind, userKind, accountKind = "latest", "collection", "user", "account"
)

// event is what users insert and clients get.
type event struct {
	ID           string          `json:"id"`
	UserID       string          `json:"user_id"`
	CollectionID string          `json:"collection_id"`
	Event        string          `json:"event"`
	Timestamp    int64           `json:"timestamp"` // seconds since 1970
	Published    bool            `json:"published"`
	Cancelled    bool            `json:"cancelled"`
	Data         json.RawMessage `json:"data"`
}

func (e event) isDue(now time.Time) bool { return e.Timestamp <= now.Unix() }

// user is the state of "user/UUID".
type user struct {
	CollectionID string   `json:"collection_id"` // of the events about the user
	Inserted     []string `json:"inserted"`      // ids of collections with events by the user
}

// account is the state of "$user/NAME".
type account struct {
	ID   string `json:"id"`
	Hash []byte `json:"hash"` // bcrypt
}

var kinds = []sharedata.Kind{
	sharedata.NewKind(latestKind, publishFunction), sharedata.NewKind(collectionKind, recordFunction, markFunction),
	sharedata.NewKind(userKind, joinFunction), sharedata.NewKind(accountKind),
}

// publishFunction makes an event the latest of its name. All proposals about one event have
// its id as their idempotency key, so the first one decides for good: whether the event is
// published or, if it says that the event is cancelled, never is.
var publishFunction = sharedata.NewPatchFunction("publish", func(_ context.Context, _ sharedata.Document, e event) (patch sharedata.Patch, err error) {
	if e.Cancelled {
		return patch, sharedata.RejectWith("cancelled", "the event is cancelled", nil)
	}
	patch.Add(sharedata.Path(e.Event), e)
	return patch, nil
})

// recordFunction adds an event to its collection.
var recordFunction = sharedata.NewPatchFunction("record", func(_ context.Context, _ sharedata.Document, e event) (patch sharedata.Patch, err error) {
	patch.Add("/-", e)
	return patch, nil
})

// markFunction marks an event of the collection as cancelled.
var markFunction = sharedata.NewPatchFunction("mark", func(_ context.Context, state sharedata.Document, id string) (patch sharedata.Patch, err error) {
	var events []event
	if _, err := state.Decode("", &events); err != nil {
		return patch, err
	}
	if i := slices.IndexFunc(events, func(e event) bool { return e.ID == id }); i >= 0 {
		patch.Replace(sharedata.Path(strconv.Itoa(i), "cancelled"), true)
	}
	return patch, nil
})

// joinFunction notes that a user inserts into a collection.
var joinFunction = sharedata.NewFunction("join", func(_ context.Context, u user, collectionID string) (user, error) {
	if !slices.Contains(u.Inserted, collectionID) {
		u.Inserted = append(u.Inserted, collectionID)
	}
	return u, nil
})

// propose returns what is proposed about an event, in the name of who inserted it:
// idempotency keys belong to callers.
func (e event) propose(shareDataID string, f *sharedata.Function, key string, data any) sharedata.Proposal {
	caller := &sharedata.Caller{Issuer: issuer, Subject: e.UserID}
	return sharedata.Proposal{ShareDataID: shareDataID, FunctionID: f.ID(), Data: data, IdempotencyKey: key, Caller: caller}
}

func (e event) publish() sharedata.Proposal { return e.propose(latestID, publishFunction, e.ID, e) }

func (e event) record() sharedata.Proposal {
	return e.propose(collectionPrefix+e.CollectionID, recordFunction, e.ID+"/record", e)
}

func (e event) mark() sharedata.Proposal {
	return e.propose(collectionPrefix+e.CollectionID, markFunction, e.ID+"/mark", e.ID)
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/safe-go/safe/sharedata"
)

// The ShareData of the broker. Clients reach only "latest", through GET /events.
//
//   - "latest": event name -> the newest published event, which is all that a new page is
//     sent. Its history has each publication once, by the event's id as idempotency key.
//   - "collection/UUID": event id -> event.
//   - "$user/NAME": the user by a name, whose creation decides to whom the name belongs. It
//     has the ids of collections rather than events, so that it changes only with the first
//     event in a collection.
//   - "$schedule/N": what waits for its time, of package schedule.
const (
	latestID         = "latest"
	collectionPrefix = "collection/"
	userPrefix       = "$user/"

	// Limits of what is read and sent whole.
	maxCollectionBytes = 16 << 20
	maxLatestBytes     = 4 << 20
	maxListBytes       = 64 << 20 // of one list of events
	maxCollections     = 10_000   // with events by one user

	issuer = "broker" // of tokens

	latestKind, collectionKind, userKind = "latest", "collection", "user"
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

// asOf returns the event as it is at a time: published, if that has come. An event that was
// published by the clock of another process stays so.
func (e event) asOf(now time.Time) event {
	e.Published = !e.Cancelled && (e.Published || e.Timestamp <= now.Unix())
	return e
}

// size returns about how many bytes of JSON an event is.
func (e event) size() int { return len(e.Event) + len(e.Data) + 250 }

// compareEvents orders events by their timestamps, and those of one timestamp as they were
// inserted, because ids begin with the time.
func compareEvents(a, b event) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.ID, b.ID))
}

// user is the state of "$user/NAME".
type user struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Hash         []byte   `json:"hash"`          // of the password, by bcrypt
	CollectionID string   `json:"collection_id"` // of the events about the user
	Inserted     []string `json:"inserted"`      // ids of collections with events by the user
}

// load returns a state, or the given error if there is no ShareData by the id.
func load[T any](ctx context.Context, manager *sharedata.Manager, id string, unknown error) (state T, err error) {
	snapshot, err := manager.Get(ctx, id)
	if errors.Is(err, sharedata.ErrUnknownShareData) {
		return state, unknown
	}
	if err != nil {
		return state, err
	}
	return sharedata.Decode[T](snapshot.State)
}

// newUUID returns a UUID that begins with the time (RFC 9562 section 5.7).
func newUUID() string { return uuid.Must(uuid.NewV7()).String() }

var kinds = []sharedata.Kind{
	sharedata.NewKind(latestKind, publishFunction), sharedata.NewKind(collectionKind, recordFunction),
	sharedata.NewKind(userKind, joinFunction),
}

// publishFunction makes an event the latest of its name.
var publishFunction = sharedata.NewPatchFunction("publish",
	func(_ context.Context, latest sharedata.Document, e event) (patch sharedata.Patch, err error) {
		path := sharedata.Path(e.Event)
		old, _ := latest.Get(path)
		text, err := json.Marshal(e)
		if growth := len(text) - len(old); growth > 0 && len(latest.Raw())+growth > maxLatestBytes {
			return patch, sharedata.Reject("the latest events of all names have no room for more")
		}
		patch.Add(path, json.RawMessage(text))
		return patch, err
	})

// recordFunction puts an event into its collection. One that is cancelled takes the place of
// what is there, and stays when it was not recorded before.
var recordFunction = sharedata.NewPatchFunction("record",
	func(_ context.Context, collection sharedata.Document, e event) (patch sharedata.Patch, err error) {
		if _, found := collection.Get(sharedata.Path(e.ID)); !found || e.Cancelled {
			patch.Add(sharedata.Path(e.ID), e)
		}
		return patch, nil
	})

// joinFunction notes that a user inserts into a collection. The id of the collection is the
// idempotency key, so it is noted once.
var joinFunction = sharedata.NewPatchFunction("join",
	func(_ context.Context, _ sharedata.Document, collectionID string) (patch sharedata.Patch, err error) {
		patch.Add("/inserted/-", collectionID)
		return patch, nil
	})

// propose returns what is proposed about an event, in the name of the user who inserted it:
// idempotency keys belong to callers.
func (e event) propose(shareDataID string, f *sharedata.Function, key string, data any) sharedata.Proposal {
	caller := &sharedata.Caller{Issuer: issuer, Subject: e.UserID}
	return sharedata.Proposal{ShareDataID: shareDataID, FunctionID: f.ID(), Data: data, IdempotencyKey: key, Caller: caller}
}

// publish returns the proposal that publishes the event.
func (e event) publish() sharedata.Proposal { return e.propose(latestID, publishFunction, e.ID, e) }

// record returns the proposal that records the event, or that it is cancelled.
func (e event) record() sharedata.Proposal {
	return e.propose(collectionPrefix+e.CollectionID, recordFunction, fmt.Sprintf("%s/cancelled=%t", e.ID, e.Cancelled), e)
}

package main

import (
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
//   - "user/UUID": where a user's events are: the ids of collections rather than events, so
//     that it changes only with the first event in a collection.
//   - "$user/NAME": the account of a username: the id of the user and the hash of the
//     password. Its creation decides to whom the name belongs.
//   - "$schedule/N": what waits for its time, of package schedule.
const (
	latestID         = "latest"
	collectionPrefix = "collection/"
	userPrefix       = "user/"
	accountPrefix    = "$user/"

	// Limits of what is read and sent whole.
	maxCollectionBytes = 16 << 20
	maxLatestBytes     = 4 << 20
	maxListBytes       = 64 << 20 // of events in one response
	maxCollections     = 10_000   // with events by one user

	issuer = "broker" // of tokens

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

// asOf returns the event as it is at a time: published, if that has come.
func (e event) asOf(now time.Time) event {
	e.Published = !e.Cancelled && e.Timestamp <= now.Unix()
	return e
}

// user is the state of "user/UUID".
type user struct {
	CollectionID string   `json:"collection_id"` // of the events about the user
	Inserted     []string `json:"inserted"`      // ids of collections with events by the user
}

// account is the state of "$user/NAME".
type account struct {
	ID           string `json:"id"`
	Hash         []byte `json:"hash"`          // bcrypt
	CollectionID string `json:"collection_id"` // for the user
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

// newUUID returns a UUID that begins with the time (RFC 9562 section 5.7), by which events
// are sorted.
func newUUID() string { return uuid.Must(uuid.NewV7()).String() }

var kinds = []sharedata.Kind{
	sharedata.NewKind(latestKind, publishFunction), sharedata.NewKind(collectionKind, recordFunction),
	sharedata.NewKind(userKind, joinFunction), sharedata.NewKind(accountKind),
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

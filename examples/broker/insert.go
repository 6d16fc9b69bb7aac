package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

const (
	// completeAfter is when the scheduler completes an insertion that its process did not,
	// because that was killed or the store was away.
	completeAfter = 10 * time.Second
	// requestTimeout bounds the work on a request, which goes on when its client has gone.
	requestTimeout = 30 * time.Second
	// maxCollectionBytes is about the size of the largest collection, which is read whole.
	maxCollectionBytes = 16 << 20
)

// insert serves POST /insert. The event is inserted by one commit, which schedules both that
// it is recorded in its collection and that it is published. What can be done at once is
// then done here too: both have idempotency keys, so whoever comes second changes nothing.
func (b *broker) insert(r *http.Request, body []byte, userID string) (any, error) {
	e, err := parseEvent(body)
	if err != nil {
		return nil, err
	}
	e.ID, e.UserID = newUUID(), userID
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), requestTimeout)
	defer cancel()
	if err := b.join(ctx, e); err != nil {
		return nil, err
	}
	now, at := time.Now(), time.Unix(e.Timestamp, 0)
	atOnce := []sharedata.Proposal{e.record()}
	if e.isDue(now) {
		atOnce, at = append(atOnce, e.publish()), now.Add(completeAfter)
	}
	if _, err := b.scheduler.ScheduleAll(ctx, []schedule.Proposal{scheduled(e.record(), now.Add(completeAfter)), scheduled(e.publish(), at)}); err != nil {
		return nil, err
	}
	var proposing sync.WaitGroup
	for _, p := range atOnce {
		proposing.Go(func() { b.proposeNow(ctx, p) })
	}
	proposing.Wait()
	return map[string]event{"event": e.asOf(time.Now())}, nil
}

func scheduled(p sharedata.Proposal, at time.Time) schedule.Proposal {
	return schedule.Proposal{ID: p.IdempotencyKey, At: at, ShareDataID: p.ShareDataID, FunctionID: p.FunctionID, Data: p.Data, Caller: p.Caller}
}

// proposeNow makes a proposal that is scheduled. If that fails, the scheduler makes it.
func (b *broker) proposeNow(ctx context.Context, p sharedata.Proposal) {
	_, err := b.manager.Propose(ctx, p)
	if err == nil {
		err = b.unschedule(ctx, p.IdempotencyKey)
	}
	if err != nil {
		b.log.Warn("an insertion is completed later", "id", p.IdempotencyKey, "error", err)
	}
}

func (b *broker) unschedule(ctx context.Context, id string) error {
	err := b.scheduler.Cancel(ctx, id)
	if errors.Is(err, schedule.ErrUnknown) || errors.Is(err, schedule.ErrBegun) {
		return nil // its time has come, and it changes nothing
	}
	return err
}

// join notes that a user inserts into a collection, and has it created for that.
func (b *broker) join(ctx context.Context, e event) error {
	u, err := b.user(ctx, e.UserID)
	if err != nil {
		return err
	}
	id := collectionPrefix + e.CollectionID
	collection, err := b.manager.EnsureKind(ctx, id, collectionKind, []event{})
	if err == nil && len(collection.State) > maxCollectionBytes {
		return &requestError{http.StatusInsufficientStorage, "the collection is full: use another collection_id"}
	}
	if err == nil && !slices.Contains(u.Inserted, e.CollectionID) {
		_, err = b.manager.Propose(ctx, e.propose(userPrefix+e.UserID, joinFunction, "", e.CollectionID))
	}
	return err
}

// cancelEvent serves GET /events/{id}/cancel. It has the publication rejected for good,
// unless that was accepted before. What is scheduled is removed last: cancelling again finds
// it until all is done.
func (b *broker) cancelEvent(r *http.Request, _ []byte, userID string) (any, error) {
	if r.PathValue("action") != "cancel" {
		return nil, &requestError{http.StatusNotFound, "there is no such page"}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), requestTimeout)
	defer cancel()
	waiting, err := b.scheduler.Get(ctx, strings.ToLower(r.PathValue("id")))
	if errors.Is(err, schedule.ErrUnknown) || err == nil && waiting.ShareDataID != latestID {
		return nil, &requestError{http.StatusNotFound, "no event by this id waits for its time"}
	}
	if err != nil {
		return nil, err
	}
	var e event
	if text, is := waiting.Data.(json.RawMessage); !is || json.Unmarshal(text, &e) != nil {
		return nil, fmt.Errorf("what is scheduled by %q is no event", waiting.ID)
	}
	if e.UserID != userID {
		return nil, &requestError{http.StatusForbidden, "only who inserted an event may cancel it"}
	}
	if _, err := b.manager.Propose(ctx, e.record()); err != nil { // if that is not done yet
		return nil, err
	}
	e.Cancelled = true
	verdict, err := b.manager.Propose(ctx, e.publish())
	if err == nil && verdict.Accepted {
		return nil, &requestError{http.StatusConflict, "the event is published already"}
	}
	if err == nil {
		_, err = b.manager.Propose(ctx, e.mark())
	}
	if err == nil {
		err = b.unschedule(ctx, e.ID)
	}
	return map[string]event{"event": e}, err
}

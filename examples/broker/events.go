package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

// completeAfter is when the scheduler completes an insertion that its process did not,
// because that was killed or the store was not reachable.
const completeAfter = 10 * time.Second

// insert serves POST /insert. The event is inserted by one commit, which schedules both that
// it is recorded in its collection and that it is published. What can be done at once is
// then done here too: both have idempotency keys, so only the first proposal has an effect.
func (b *broker) insert(r *request) (any, error) {
	ctx, now, e := r.Context(), time.Now(), r.input.event
	e.ID, e.UserID = newUUID(), r.user.ID
	e = e.asOf(now)
	if err := b.prepare(ctx, r.user, e); err != nil {
		return nil, err
	}
	atOnce, at := []sharedata.Proposal{e.record()}, time.Unix(e.Timestamp, 0)
	if e.Published {
		atOnce, at = append(atOnce, e.publish()), now.Add(completeAfter)
	}
	both := []schedule.Proposal{scheduled(e.record(), now.Add(completeAfter)), scheduled(e.publish(), at)}
	if _, err := b.scheduler.ScheduleAll(ctx, both); err != nil {
		return nil, err
	}
	b.propose(ctx, atOnce...)
	return map[string]event{"event": e}, nil
}

// propose proposes at once what is scheduled for later. What fails is left to the scheduler. A
// rejection is final: an event for which "latest" has no room any more is not published.
func (b *broker) propose(ctx context.Context, proposals ...sharedata.Proposal) {
	var proposing sync.WaitGroup
	for _, p := range proposals {
		proposing.Go(func() {
			if _, err := b.manager.Propose(ctx, p); err == nil {
				_ = b.scheduler.Cancel(ctx, p.IdempotencyKey) // otherwise it is proposed again, without an effect
			}
		})
	}
	proposing.Wait()
}

// prepare creates the collection of an event, and notes that the user inserts into it. It
// fails if there is no room for the event.
func (b *broker) prepare(ctx context.Context, u user, e event) error {
	latest, err := b.manager.Get(ctx, latestID)
	if err != nil {
		return err
	}
	if _, err := publishFunction.Run(ctx, latest.State, e); err != nil {
		return err
	}
	collection, err := b.manager.EnsureKind(ctx, collectionPrefix+e.CollectionID, collectionKind, struct{}{})
	if err != nil {
		return err
	}
	if len(collection.State) > maxCollectionBytes {
		return sharedata.Reject("the collection is full: use another collection_id")
	}
	if slices.Contains(u.Inserted, e.CollectionID) {
		return nil
	}
	if len(u.Inserted) >= maxCollections {
		return sharedata.Rejectf("a user inserts into at most %d collections: use one of them", maxCollections)
	}
	_, err = b.manager.Propose(ctx, e.propose(userPrefix+u.Name, joinFunction, e.CollectionID, e.CollectionID))
	return err
}

func scheduled(p sharedata.Proposal, at time.Time) schedule.Proposal {
	return schedule.Proposal{At: at, ID: p.IdempotencyKey, ShareDataID: p.ShareDataID, FunctionID: p.FunctionID, Data: p.Data, Caller: p.Caller}
}

// cancel serves GET /events/{id}/cancel. The event is cancelled by one commit, which schedules
// that this is recorded in place of the publication.
func (b *broker) cancel(r *request) (any, error) {
	ctx, id := r.Context(), strings.ToLower(r.PathValue("id"))
	if r.PathValue("action") != "cancel" || !isUUID(id) {
		return nil, &requestError{http.StatusNotFound, "there is no such page"}
	}
	waiting, err := b.scheduler.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	e, err := sharedata.Decode[event](waiting.Data.(json.RawMessage))
	if err != nil {
		return nil, err
	}
	if e.UserID != r.user.ID {
		return nil, &requestError{http.StatusForbidden, "only the user who inserted an event may cancel it"}
	}
	if e.asOf(time.Now()).Published {
		return nil, schedule.ErrBegun
	}
	e.Cancelled = true
	if err := b.scheduler.Replace(ctx, id, scheduled(e.record(), time.Now().Add(completeAfter))); err != nil {
		return nil, err
	}
	b.propose(ctx, e.record())
	return map[string]event{"event": e}, nil
}

// listCollection serves GET /events/collections/{id}.
func (b *broker) listCollection(r *request) (any, error) {
	id := strings.ToLower(r.PathValue("id"))
	if !isUUID(id) {
		return nil, &requestError{http.StatusBadRequest, "the id of a collection must be a uuid"}
	}
	events, err := b.list(r.Context(), "", id)
	return map[string][]event{"events": events}, err
}

// listUser serves GET /events/user.
func (b *broker) listUser(r *request) (any, error) {
	info, err := b.list(r.Context(), "", r.user.CollectionID)
	if err != nil {
		return nil, err
	}
	inserted, err := b.list(r.Context(), r.user.ID, r.user.Inserted...)
	return map[string][]event{"info": info, "events": inserted}, err
}

// list returns the events of collections, sorted; if a user is given, only that user's.
func (b *broker) list(ctx context.Context, userID string, collectionIDs ...string) ([]event, error) {
	now, size, list := time.Now(), 0, []event{} // which is [] in JSON where nil is null
	for _, id := range collectionIDs {
		events, err := load[map[string]event](ctx, b.manager, collectionPrefix+id, nil)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if userID == "" || e.UserID == userID {
				list = append(list, e.asOf(now))
				size += e.size()
			}
		}
		if size > maxListBytes {
			return nil, sharedata.Reject("too many events for one list: get the collections one by one")
		}
	}
	slices.SortFunc(list, compareEvents)
	return list, nil
}

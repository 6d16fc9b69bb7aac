package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// collection serves GET /events/collections/{id}.
func (b *broker) collection(r *http.Request, _ []byte, _ string) (any, error) {
	id := strings.ToLower(r.PathValue("id"))
	if !isUUID(id) {
		return nil, badRequest("the id of a collection must be a uuid")
	}
	events, err := b.eventsOf(r.Context(), id)
	return map[string][]event{"events": ascending(events)}, err
}

// userEvents serves GET /events/user.
func (b *broker) userEvents(r *http.Request, _ []byte, userID string) (any, error) {
	u, err := b.user(r.Context(), userID)
	if err != nil {
		return nil, err
	}
	info, err := b.eventsOf(r.Context(), u.CollectionID)
	if err != nil {
		return nil, err
	}
	var inserted []event
	for _, id := range u.Inserted {
		events, err := b.eventsOf(r.Context(), id)
		if err != nil {
			return nil, err
		}
		inserted = append(inserted, slices.DeleteFunc(events, func(e event) bool { return e.UserID != userID })...)
	}
	return map[string][]event{"info": ascending(info), "events": ascending(inserted)}, nil
}

// eventsOf returns the events of a collection; none if it does not exist.
func (b *broker) eventsOf(ctx context.Context, collectionID string) ([]event, error) {
	snapshot, err := b.manager.Get(ctx, collectionPrefix+collectionID)
	if errors.Is(err, sharedata.ErrUnknownShareData) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	events, err := sharedata.Decode[[]event](snapshot.State)
	now := time.Now()
	for i := range events {
		events[i] = events[i].asOf(now)
	}
	return events, err
}

// asOf returns the event as it is at a time: published, if that has come.
func (e event) asOf(now time.Time) event {
	e.Published = !e.Cancelled && e.isDue(now)
	return e
}

// ascending sorts events by their timestamps, and those of one timestamp in the order in
// which they were inserted. It returns an empty list rather than nil, which JSON has as null.
func ascending(events []event) []event {
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return append([]event{}, events...)
}

// user returns the user with an id.
func (b *broker) user(ctx context.Context, id string) (user, error) {
	snapshot, err := b.manager.Get(ctx, userPrefix+id)
	if errors.Is(err, sharedata.ErrUnknownShareData) {
		return user{}, errNotAuthenticated // a token for another file
	}
	if err != nil {
		return user{}, err
	}
	return sharedata.Decode[user](snapshot.State)
}

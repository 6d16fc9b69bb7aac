package sharedata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/safe-go/safe/replay"
)

// ListOptions selects what List returns. Nil or the zero value is everything.
type ListOptions struct {
	// Prefix is what the ids begin with. Default: any.
	Prefix string
	// Kind is the kind of the ShareData. Default: any. The store lists ids
	// without their kinds, so List loads each ShareData with the Prefix, one
	// after the other, until the page is full: choose ids by which a kind can be
	// listed with a Prefix where that is too slow.
	Kind string
	// After is the id after which the page begins: the last id of the page before.
	// It need not exist any more. Default: the page begins with the first id.
	After string
	// Limit is the largest number of ids that are returned. A page with fewer is
	// the last one. Default: no limit.
	Limit int
}

// List returns ids of ShareData in the store, sorted by their bytes. One that is
// created or removed meanwhile may be among them or not. Every call reads all
// ids from the store, but holds no more in memory than twice the Limit, or 8,192
// to look for a Kind. It fails with ErrStore or ErrClosed.
func (m *Manager) List(ctx context.Context, options *ListOptions) ([]string, error) {
	var o ListOptions
	if options != nil {
		o = *options
	}
	switch {
	case o.Limit < 0:
		return nil, fmt.Errorf("sharedata: ListOptions.Limit is %d; use a positive value, or 0 for no limit", o.Limit)
	case m.closed.Load():
		return nil, ErrClosed
	case o.Kind != "":
		return m.listKind(ctx, o)
	}
	return m.listIDs(ctx, o)
}

// listIDs returns a page without regard to the kind.
func (m *Manager) listIDs(ctx context.Context, o ListOptions) ([]string, error) {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	var page []string
	for id, err := range m.options.Store.IDs(ctx) {
		if err != nil {
			return nil, &StoreError{Operation: "list", Err: err}
		}
		if id <= o.After || !strings.HasPrefix(id, o.Prefix) {
			continue
		}
		page = append(page, id)
		// The store yields ids in any order: keep the smallest, and no more than
		// two pages of them.
		if o.Limit > 0 && len(page)-o.Limit >= o.Limit {
			slices.Sort(page)
			page = page[:o.Limit]
		}
	}
	slices.Sort(page)
	if o.Limit > 0 && len(page) > o.Limit {
		page = page[:o.Limit]
	}
	return page, nil
}

// listChunk is how many ids are held at once to look for those of a kind.
const listChunk = 4096

// listKind returns a page of ShareData of one kind.
func (m *Manager) listKind(ctx context.Context, o ListOptions) ([]string, error) {
	var page []string
	chunk := ListOptions{Prefix: o.Prefix, After: o.After, Limit: listChunk}
	for {
		ids, err := m.listIDs(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			kind, exists, err := m.storedKind(ctx, id)
			if err != nil {
				return nil, err
			}
			if !exists || kind != o.Kind {
				continue
			}
			if page = append(page, id); len(page) == o.Limit {
				return page, nil
			}
		}
		if len(ids) < listChunk {
			return page, nil
		}
		chunk.After = ids[len(ids)-1]
	}
}

// storedKind returns the kind that a ShareData has in the store.
func (m *Manager) storedKind(ctx context.Context, id string) (kind string, exists bool, err error) {
	head, err := m.loadHead(ctx, id, replay.Cursor{})
	if errors.Is(err, replay.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, m.storeError(id, "load", err)
	}
	at, err := positionOf(id, head)
	if err != nil {
		return "", false, m.storeError(id, "load", err)
	}
	return at.kind, true, nil
}

package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// Create creates a ShareData with functions of its own. The state is raw JSON
// (json.RawMessage) or a value that encoding/json marshals. The functions are
// registered in this manager until the ShareData is removed; use Ensure or
// CreateKind with a store that outlives the process.
//
// It fails with ErrExists, ErrInvalidID, ErrInvalidState, ErrInvalidFunction,
// ErrStore or ErrClosed.
func (m *Manager) Create(ctx context.Context, id string, state any, functions ...*Function) (Snapshot, error) {
	own := Functions(slices.Clone(functions))
	if err := own.check(); err != nil {
		return Snapshot{}, err
	}
	if err := m.checkVerifiable(own...); err != nil {
		return Snapshot{}, err
	}
	return m.create(ctx, id, "", state, own)
}

// CreateKind creates a ShareData with the functions of a kind. It keeps them when
// another process that knows the kind loads it from the store. It fails like
// Create, and with ErrUnknownKind.
func (m *Manager) CreateKind(ctx context.Context, id, kind string, state any) (Snapshot, error) {
	if _, known := m.kinds[kind]; !known {
		return Snapshot{}, fmt.Errorf("%w: %.60q; add it to Options.Kinds", ErrUnknownKind, kind)
	}
	return m.create(ctx, id, kind, state, nil)
}

// Ensure creates the ShareData unless it exists, and registers the functions for
// it in both cases. A service calls it at its start for a ShareData that may be in
// the store already. The state is used only for a new ShareData. The functions
// replace those of an earlier Ensure or Create, and stay registered when the
// ShareData is removed and created again. It fails like Create, but not with
// ErrExists. After any error it may be called again.
func (m *Manager) Ensure(ctx context.Context, id string, state any, functions ...*Function) (Snapshot, error) {
	snapshot, err := m.Create(ctx, id, state, functions...)
	if err == nil || errors.Is(err, ErrExists) {
		m.setFunctions(id, registration{functions: slices.Clone(functions), permanent: true})
	}
	if !errors.Is(err, ErrExists) {
		return snapshot, err
	}
	return m.Get(ctx, id)
}

// EnsureKind creates the ShareData with the functions of a kind unless it exists.
// The state is used only for a new ShareData. The kind of a ShareData never
// changes, so EnsureKind fails with ErrExists where it exists with another kind or
// with none. Otherwise it fails like CreateKind, and may be called again.
func (m *Manager) EnsureKind(ctx context.Context, id, kind string, state any) (Snapshot, error) {
	snapshot, err := m.CreateKind(ctx, id, kind, state)
	if !errors.Is(err, ErrExists) {
		return snapshot, err
	}
	snapshot, err = m.Get(ctx, id)
	if err == nil && snapshot.Kind != kind {
		return Snapshot{}, fmt.Errorf("%w: %.60q is of the kind %.60q, not %.60q; remove it or use another id", ErrExists, id, snapshot.Kind, kind)
	}
	return snapshot, err
}

func (m *Manager) create(ctx context.Context, id, kind string, state any, own Functions) (Snapshot, error) {
	raw, err := toState(state)
	if err != nil {
		return Snapshot{}, fmt.Errorf("create %.60q: %w", id, err)
	}
	if err := m.checkNewID(ctx, id); err != nil {
		return Snapshot{}, err
	}
	return m.snapshotAfter(ctx, id, &request{
		change:    change{kind: changeCreate, state: raw, kindName: kind, strict: true},
		functions: own,
	})
}

// Get returns the ShareData's state and position. Where other processes append to
// the store (a replay.Follower), Get reads the position from the store first,
// unless the ShareData is observed here: then the manager is notified of what they
// append. If the store cannot be reached, Get returns the last known position. It
// fails with ErrUnknownShareData, ErrStore or ErrClosed.
func (m *Manager) Get(ctx context.Context, id string) (Snapshot, error) {
	at, err := m.freshPosition(ctx, id)
	return snapshotOf(id, at, err)
}

// Refresh is Get after the manager has read everything that the store held at the
// time of the call, and has notified the observers of it. It is for callers that
// know of a later position than the manager's, for example from another process.
// If the store cannot be reached it fails, with the errors of Get.
func (m *Manager) Refresh(ctx context.Context, id string) (Snapshot, error) {
	if m.follower == nil {
		return m.Get(ctx, id)
	}
	o, err := m.do(ctx, id, &request{change: change{kind: changeNothing, strict: true}})
	return snapshotOf(id, o.at, err)
}

func snapshotOf(id string, at position, err error) (Snapshot, error) {
	if err == nil && !at.exists {
		err = unknown(id)
	}
	if err != nil {
		return Snapshot{}, err
	}
	return at.snapshot(id), nil
}

// Update replaces the whole state without a function, for the service's own use,
// such as an import or a repair. It appends an entry to the history. It fails with
// ErrUnknownShareData, ErrInvalidState, ErrStore or ErrClosed.
func (m *Manager) Update(ctx context.Context, id string, state any) (Snapshot, error) {
	raw, err := toState(state)
	if err != nil {
		return Snapshot{}, fmt.Errorf("update %.60q: %w", id, err)
	}
	return m.snapshotAfter(ctx, id, &request{change: change{kind: changeUpdate, state: raw}})
}

// Remove removes the ShareData and its history. A ShareData that is created with
// the same id later has a new epoch. It fails with ErrUnknownShareData, ErrStore
// or ErrClosed.
func (m *Manager) Remove(ctx context.Context, id string) error {
	_, err := m.snapshotAfter(ctx, id, &request{change: change{kind: changeRemove}})
	return err
}

func (m *Manager) snapshotAfter(ctx context.Context, id string, r *request) (Snapshot, error) {
	r.change.caller = CallerFrom(ctx)
	if err := r.change.caller.check(); err != nil {
		return Snapshot{}, err
	}
	o, err := m.do(ctx, id, r)
	if err != nil {
		return Snapshot{}, err
	}
	return o.at.snapshot(id), nil
}

// toState is toJSON in canonical form. It fails with ErrInvalidState.
func toState(state any) (json.RawMessage, error) {
	raw, err := toJSON(state)
	if err != nil {
		return nil, invalidState(err)
	}
	return jsonpatch.Canonical(raw), nil
}

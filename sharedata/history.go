package sharedata

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/safe-go/safe/replay"
)

// History reads the entries of a ShareData after a cursor, oldest first and
// without holes, up to the newest. The zero cursor reads all that the store
// keeps. An error ends the sequence: ErrUnknownShareData, ErrClosed, ErrStore, the
// context's, or a *replay.CursorError where the entries after the cursor are not
// all there (replay.ErrCursorTooOld, replay.ErrUnknownEpoch,
// replay.ErrFutureCursor).
func (m *Manager) History(ctx context.Context, id string, after replay.Cursor) iter.Seq2[Entry, error] {
	return m.entries(ctx, id, after, m.page)
}

// entries yields what History does, page by page.
func (m *Manager) entries(ctx context.Context, id string, after replay.Cursor, next func(context.Context, string, replay.Cursor) ([]Entry, error)) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			page, err := next(ctx, id, after)
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				after = e.Cursor
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if len(page) < pageEntries {
				return
			}
		}
	}
}

// page returns the next entries after a cursor, from memory or else from the
// store.
func (m *Manager) page(ctx context.Context, id string, after replay.Cursor) ([]Entry, error) {
	if s := m.loaded(id); s != nil && !after.IsZero() && !m.closed.Load() {
		if page, ok := s.recent.after(after, pageEntries); ok {
			return page, nil
		}
	}
	return m.storedEntries(ctx, id, after)
}

// storedEntries returns the next entries after a cursor from the store. Where a record
// cannot be decoded it returns the entries before that one and an error.
func (m *Manager) storedEntries(ctx context.Context, id string, after replay.Cursor) ([]Entry, error) {
	stored, err := m.storedPage(ctx, id, after)
	if err != nil {
		return nil, err
	}
	page := make([]Entry, 0, len(stored))
	for i := range stored {
		e, err := entryFrom(id, stored[i])
		if err != nil {
			return page, &StoreError{ShareDataID: id, Operation: "read", Err: err}
		}
		page = append(page, e)
	}
	return page, nil
}

// storedPage reads the next entries after a cursor.
func (m *Manager) storedPage(ctx context.Context, id string, after replay.Cursor) ([]replay.Entry, error) {
	if m.closed.Load() {
		return nil, ErrClosed
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	call, cancel := m.storeContext(ctx)
	defer cancel()
	if !after.IsZero() {
		page, err := m.options.Store.Read(call, id, after, pageEntries)
		return page, readError(ctx, id, err)
	}
	for {
		head, err := m.options.Store.Load(call, id, replay.Cursor{})
		if err != nil {
			return nil, readError(ctx, id, err)
		}
		oldest := replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.Oldest - 1}
		page, err := m.options.Store.Read(call, id, oldest, pageEntries)
		if errors.Is(err, replay.ErrCursorTooOld) || errors.Is(err, replay.ErrUnknownEpoch) {
			continue // trimmed or restarted since the head was loaded
		}
		return page, readError(ctx, id, err)
	}
}

// readError returns the error of History for an error of the store.
func readError(ctx context.Context, id string, err error) error {
	var cursorError *replay.CursorError
	switch {
	case err == nil || errors.As(err, &cursorError):
		return err
	case errors.Is(err, replay.ErrNotFound):
		return unknown(id)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &StoreError{ShareDataID: id, Operation: "read", Err: err}
}

// VerifyHistory checks the whole history that the store keeps with Verify, and
// that it leads to the current state: the entry at the current position is there,
// has the hash that the manager knows, and recorded the hash of the state. It
// fails with ErrChainBroken, and like History.
func (m *Manager) VerifyHistory(ctx context.Context, id string) (Chain, error) {
	at, err := m.position(ctx, id)
	if err != nil {
		return Chain{}, err
	}
	if !at.exists {
		return Chain{}, unknown(id)
	}
	var problem string
	chain, err := Verify(func(yield func(Entry, error) bool) {
		for e, err := range m.History(ctx, id, replay.Cursor{}) {
			switch {
			case err != nil || e.Cursor != at.cursor:
			case e.Hash != at.hash:
				problem = "another entry at this position led to the current state"
			case e.StateHash != HashState(at.state):
				problem = "the current state does not have the hash in the entry"
			}
			if !yield(e, err) {
				return
			}
		}
	})
	switch {
	case err != nil:
		return chain, err
	case problem != "":
		return chain, &ChainError{Cursor: at.cursor, Problem: problem}
	case chain.Last.Epoch == at.cursor.Epoch && chain.Last.Revision < at.cursor.Revision:
		return chain, &ChainError{Cursor: chain.Last.Next(), Problem: fmt.Sprintf("it is missing, and so are all entries up to the current one at %s", at.cursor)}
	}
	return chain, nil
}

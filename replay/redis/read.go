package redis

import (
	"context"
	"errors"
	"math"
	"strconv"

	"github.com/safe-go/safe/replay"
)

// What one answer of a server may hold, so that neither it nor whoever waits
// behind it is held up. An answer ends with the entry that exceeds the bytes.
const (
	maxReplyEntries = 10_000
	maxReplyBytes   = 1 << 20
)

// Load implements replay.Store.
func (s *Store) Load(ctx context.Context, id string) (replay.Head, error) {
	k := s.naming.keys(id)
	head, r, err := s.headOrMissing(ctx, id, &call{script: loadScript, keys: &k})
	if err != nil {
		return replay.Head{}, err
	}
	head.State, head.Meta = r.bytes(), r.bytes()
	if r.err != nil {
		return replay.Head{}, damaged(id, r.err.Error())
	}
	return head, nil
}

// headOf reads what most answers begin with.
func headOf(id string, answer any) (head replay.Head, r *reply, err error) {
	r = body(answer)
	switch codeOf(answer) {
	case codeRemoved:
		return head, nil, replay.ErrNotFound
	case codeDamaged:
		return head, nil, damaged(id, r.text())
	case codeAt:
		head.Cursor = r.cursor()
		head.Oldest = oldest(head.Cursor, r.number())
	default:
		r.fail("its code is unknown")
	}
	if r.err == nil && head.Cursor.IsZero() {
		r.fail("the head has no position")
	}
	if r.err != nil {
		return head, nil, damaged(id, r.err.Error())
	}
	return head, r, nil
}

// Read implements replay.Store. A long answer is put together of several, each
// of which continues the one before; if it no longer can be continued, as when
// what follows is trimmed meanwhile, Read fails as if it had begun then.
func (s *Store) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	k := s.naming.keys(id)
	var entries []replay.Entry
	at := after
	for {
		head, more, err := s.readOn(ctx, id, &k, at, limit-len(entries))
		if refusal, ok := errors.AsType[*replay.CursorError](err); ok {
			refusal.Cursor = after
		}
		if err != nil {
			return nil, err
		}
		if entries = append(entries, more...); len(entries) > 0 {
			at = entries[len(entries)-1].Cursor
		}
		if at == head || len(entries) >= limit {
			return entries, nil
		}
	}
}

// readOn returns some of what follows the cursor: at least one entry, unless it
// is the head or the limit is below 1.
func (s *Store) readOn(ctx context.Context, id string, k *keys, after replay.Cursor, limit int) (head replay.Cursor, entries []replay.Entry, err error) {
	if after.Revision == math.MaxUint64 {
		limit = 0 // nothing can follow it
	}
	count := min(max(limit, 0), maxReplyEntries)
	epoch := strconv.FormatUint(after.Epoch, 10)
	c := &call{script: readScript, keys: k, args: []any{epoch, "(" + after.String(), count, maxReplyBytes}}
	at, r, err := s.headOrMissing(ctx, id, c)
	if err != nil {
		return head, nil, err
	}
	if err := at.Check(id, after); err != nil {
		return head, nil, err
	}
	entries = r.entries()
	switch {
	case r.err != nil:
		return head, nil, damaged(id, r.err.Error())
	case !continues(after, entries), len(entries) == 0 && count > 0 && after != at.Cursor:
		return head, nil, damaged(id, "its stream has a hole after "+after.String())
	}
	return at.Cursor, entries, nil
}

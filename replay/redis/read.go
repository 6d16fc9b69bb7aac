package redis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"

	"github.com/safe-go/safe/replay"
)

// What one reply of a server may hold, so that other clients need not wait for it
// long. A reply ends with the entry that exceeds the bytes.
const (
	maxReplyEntries = 10_000
	maxReplyBytes   = 1 << 20
)

// Load implements replay.Store. For a history that was lost, see the package
// documentation.
func (s *Store) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	k := s.naming.keys(id)
	head, r, err := s.evalExisting(ctx, id, &call{script: loadScript, keys: &k, args: []any{have.String()}})
	if err != nil {
		return replay.Head{}, err
	}
	r.snapshot(&head)
	head.Meta = r.bytes()
	if r.err != nil {
		return replay.Head{}, damaged(id, r.err.Error())
	}
	return head, nil
}

// Read implements replay.Store. A long result is put together of several replies,
// each of which continues the one before; if it can no longer be continued, as
// when what follows is trimmed meanwhile, Read fails as if it had begun then. For
// a history that was lost, it fails like Load.
func (s *Store) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	k := s.naming.keys(id)
	var entries []replay.Entry
	at := after
	for {
		head, more, err := s.readSome(ctx, id, &k, at, limit-len(entries))
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

// readSome returns some of what follows the cursor: at least one entry, unless it
// is the head or the limit is below 1.
func (s *Store) readSome(ctx context.Context, id string, k *keys, after replay.Cursor, limit int) (head replay.Cursor, entries []replay.Entry, err error) {
	if after.Revision == math.MaxUint64 {
		limit = 0 // nothing can follow it
	}
	count := min(max(limit, 0), maxReplyEntries)
	epoch := strconv.FormatUint(after.Epoch, 10)
	c := &call{script: readScript, keys: k, args: []any{epoch, "(" + after.String(), count, maxReplyBytes}}
	at, r, err := s.evalExisting(ctx, id, c)
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

// maxKeys is how many keys are looked up in one step.
const maxKeys = 1000

// Find implements replay.Store. It also finds entries of earlier epochs, as long as
// they are kept. Of a history that was lost it finds none.
func (s *Store) Find(ctx context.Context, id string, wanted []string) ([]replay.Entry, error) {
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	k := s.naming.keys(id)
	wanted = distinct(wanted)
	for {
		entries, complete, err := s.find(ctx, id, &k, wanted)
		if errors.Is(err, replay.ErrNotFound) {
			return nil, nil
		}
		if err != nil || complete {
			return entries, err
		}
	}
}

// find looks up the keys in as many steps as it takes. It is not complete if the
// history became another one meanwhile.
func (s *Store) find(ctx context.Context, id string, k *keys, wanted []string) (entries []replay.Entry, complete bool, err error) {
	var epoch uint64
	for len(wanted) > 0 {
		some := wanted[:min(len(wanted), maxKeys)]
		args := make([]any, 0, 1+len(some))
		args = append(args, maxReplyBytes)
		for _, key := range some {
			args = append(args, key)
		}
		result, err := s.eval(ctx, &call{script: findScript, keys: k, args: args})
		if err != nil {
			return nil, false, named(id, err)
		}
		head, r, err := headOf(id, result)
		if err != nil {
			return nil, false, err
		}
		if epoch != 0 && head.Cursor.Epoch != epoch {
			return nil, false, nil
		}
		epoch = head.Cursor.Epoch
		lookedUp, found := r.number(), r.entries()
		if r.err == nil && (lookedUp < 1 || lookedUp > int64(len(some))) {
			r.fail("none of the keys were looked up")
		}
		if r.err != nil {
			return nil, false, damaged(id, r.err.Error())
		}
		entries = append(entries, found...)
		wanted = wanted[lookedUp:]
	}
	return entries, true, nil
}

// distinct returns the keys each once, and without the empty one, which is none.
func distinct(wanted []string) []string {
	seen := make(map[string]bool, len(wanted))
	var keys []string
	for _, key := range wanted {
		if key != "" && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// scanned is about how many keys a server visits in one step of IDs.
const scanned = 1000

// IDs implements replay.Store. It scans all keys of the database, also those of
// other programs, a thousand at a time. While it runs it remembers the ids, because
// a server may return a key twice.
func (s *Store) IDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := s.checkOpen(ctx); err != nil {
			yield("", err)
			return
		}
		bounded, cancel := s.withTimeout(ctx)
		all, err := s.servers.all(bounded)
		cancel()
		if err != nil {
			yield("", s.servers.asOne().failed(ctx, err))
			return
		}
		seen := make(map[string]bool)
		for _, server := range all {
			for cursor := ""; cursor != "0"; {
				next, ids, err := s.scan(ctx, server, cursor)
				if err != nil {
					yield("", err)
					return
				}
				for _, id := range ids {
					if err := s.checkOpen(ctx); err != nil {
						yield("", err)
						return
					}
					if !seen[id] {
						seen[id] = true
						if !yield(id, nil) {
							return
						}
					}
				}
				cursor = next
			}
		}
		if err := ctx.Err(); err != nil {
			yield("", err)
		}
	}
}

// scan does one step of IDs on a server: from the cursor that the
// step before returned, an empty one for the first step, to the cursor "0".
func (s *Store) scan(ctx context.Context, server *server, cursor string) (next string, ids []string, err error) {
	if err := s.checkOpen(ctx); err != nil {
		return "", nil, err
	}
	bounded, cancel := s.withTimeout(ctx)
	defer cancel()
	if err := server.ready(bounded); err != nil {
		return "", nil, server.failed(ctx, err)
	}
	if cursor == "" {
		cursor = "0"
	}
	args := []any{"scan", cursor, "match", s.naming.pattern(), "count", scanned}
	result, err := do(bounded, server.client.Process, args...)
	if err != nil && isBroken(err) {
		result, err = do(bounded, server.client.Process, args...)
	}
	if err != nil {
		return "", nil, server.failed(ctx, err)
	}
	return s.page(result)
}

// page reads a reply to SCAN.
func (s *Store) page(result any) (next string, ids []string, err error) {
	items, _ := result.([]any)
	if len(items) == 2 {
		next, _ = items[0].(string)
	}
	if _, err := strconv.ParseUint(next, 10, 64); err != nil {
		return "", nil, fmt.Errorf("redis: %w: to SCAN", errReply)
	}
	names, _ := items[1].([]any)
	for _, name := range names {
		head, _ := name.(string)
		if id, ok := s.naming.id(head); ok {
			ids = append(ids, id)
		}
	}
	return next, ids, nil
}

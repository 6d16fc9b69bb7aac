package redis

import (
	"context"
	"fmt"
	"iter"
	"strconv"
)

// scanned is about how many keys a server looks at in one step of IDs.
const scanned = 1000

// IDs implements replay.Store. It goes through all keys of the database, also
// those that are not the store's, a thousand at a time. While it runs it
// remembers the ids, because a server may name a key twice.
func (s *Store) IDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield("", err)
			return
		}
		bounded, cancel := s.within(ctx)
		all, err := s.servers.all(bounded)
		cancel()
		if err != nil {
			yield("", s.servers.whole().failed(ctx, err))
			return
		}
		seen := make(map[string]bool)
		for _, v := range all {
			for cursor := ""; cursor != "0"; {
				next, ids, err := s.scan(ctx, v, cursor)
				if err != nil {
					yield("", err)
					return
				}
				for _, id := range ids {
					if err := s.usable(ctx); err != nil {
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

// scan does one step through the keys of a server: from the cursor that the
// step before returned, an empty one for the first step, to the cursor "0".
func (s *Store) scan(ctx context.Context, v *server, cursor string) (next string, ids []string, err error) {
	if err := s.usable(ctx); err != nil {
		return "", nil, err
	}
	bounded, cancel := s.within(ctx)
	defer cancel()
	if err := v.ready(bounded); err != nil {
		return "", nil, v.failed(ctx, err)
	}
	if cursor == "" {
		cursor = "0"
	}
	args := []any{"scan", cursor, "match", s.naming.pattern(), "count", scanned}
	answer, err := s.ask(bounded, v.client.Process, args...)
	if err != nil && isCut(err) {
		answer, err = s.ask(bounded, v.client.Process, args...)
	}
	if err != nil {
		return "", nil, v.failed(ctx, err)
	}
	return s.page(answer)
}

// page reads an answer to SCAN.
func (s *Store) page(answer any) (next string, ids []string, err error) {
	items, _ := answer.([]any)
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

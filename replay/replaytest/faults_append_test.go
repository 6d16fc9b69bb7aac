package replaytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// faultsOfAppend are faults of what Append commits and refuses.
var faultsOfAppend = []fault{
	{name: "ignores the expected head", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			for {
				err := s.Memory.Append(ctx, id, batch)
				conflict := conflictOf(err)
				if conflict == nil || conflict.Reason != replay.ConflictMoved || conflict.Head.IsZero() {
					return err
				}
				batch = renumbered(batch, conflict.Head)
			}
		}
	}, caught: []string{"a batch at another head is refused", "each revision is won once", "one of many batches wins",
		"handles see each other's changes", "random operations match a model"}},
	{name: "takes a head in the future for the head", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		if c.Head.Epoch == batch.Expect.Epoch && c.Head.Revision < batch.Expect.Revision {
			return s.append(c.ID, renumbered(batch, c.Head))
		}
		return c
	}), caught: []string{"a batch at another head is refused"}},
	{name: "starts histories that were expected to exist", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		if c.Head.IsZero() {
			return s.append(c.ID, start(batch.Expect.Epoch, batch.Entries...))
		}
		return c
	}), caught: []string{"a batch at another head is refused"}},
	{name: "loses the last entry of a batch", store: appends(func(batch replay.Batch) replay.Batch {
		batch.Entries = batch.Entries[:max(1, len(batch.Entries)-1)]
		return batch
	}), caught: []string{"a batch commits whole at the expected head", "ids are independent", "random operations on a trimmed store match a model"}},
	{name: "commits the first entry of a refused batch", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		if c.Reason == replay.ConflictMoved && len(batch.Entries) > 1 {
			_ = s.append(c.ID, follow(c.Head, batch.Entries[0]))
		}
		return c
	}), caught: []string{"a batch at another head is refused"}},
	{name: "finds the keys of a refused batch", store: func(s *faulty) {
		var refused []replay.Entry
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			err := s.Memory.Append(ctx, id, batch)
			if err != nil {
				refused = append(refused, batch.Entries...)
			}
			return err
		}
		finds(func(_ *faulty, _ string, keys []string, found []replay.Entry) []replay.Entry {
			for _, entry := range refused {
				if entry.Key != "" && slices.Contains(keys, entry.Key) {
					found = append(found, entry)
				}
			}
			return found
		})(s)
	}, caught: []string{"a batch at another head is refused", "an ended context changes nothing"}},
	{name: "returns half of what was missed", store: refuses(func(_ *faulty, _ replay.Batch, c *replay.ConflictError) error {
		c.Missed = c.Missed[:min(3, len(c.Missed))]
		return c
	}), caught: []string{"a refusal has all that was missed or nothing"}},
	{name: "returns what is kept of what was missed", store: refuses(func(s *faulty, _ replay.Batch, c *replay.ConflictError) error {
		if c.Missed == nil && c.Reason == replay.ConflictMoved {
			c.Missed = s.kept(c.ID)
		}
		return c
	}), caught: []string{"a refusal has all that was missed or nothing", "a batch at another head is refused"}},
	{name: "renumbers misnumbered batches", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			err := s.Memory.Append(ctx, id, batch)
			if errors.Is(err, replay.ErrInvalidBatch) {
				return s.Memory.Append(ctx, id, renumbered(batch, batch.Expect))
			}
			return err
		}
	}, caught: []string{"an invalid batch changes nothing", "random operations match a model"}},
	{name: "keeps the meta if a batch has none", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			if batch.Meta == nil {
				batch.Meta = s.head(id).Meta
			}
			return s.Memory.Append(ctx, id, batch)
		}
	}, caught: []string{"every batch replaces the meta"}},

	{name: "ignores the expected meta", store: appends(func(batch replay.Batch) replay.Batch {
		batch.ExpectMeta = nil
		return batch
	}), caught: []string{"another meta is refused", "a refusal names the first reason", "handles see each other's changes",
		"random operations match a model"}},
	{name: "compares metas up to a NUL", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		meta := s.head(c.ID).Meta
		if c.Reason == replay.ConflictReplaced && untilNUL(string(meta)) == untilNUL(string(batch.ExpectMeta)) {
			batch.ExpectMeta = meta
			return s.append(c.ID, batch)
		}
		return c
	}), caught: []string{"another meta is refused"}},
	{name: "takes an empty expected meta for nil", store: appends(func(batch replay.Batch) replay.Batch {
		if len(batch.ExpectMeta) == 0 {
			batch.ExpectMeta = nil
		}
		return batch
	}), caught: []string{"another meta is refused"}},
	{name: "takes a nil expected meta for empty", store: appends(func(batch replay.Batch) replay.Batch {
		return expecting(batch.ExpectMeta, batch)
	}), caught: []string{"every batch replaces the meta"}},
	{name: "starts no history with an expected meta", store: appendsFirst(func(_ *faulty, id string, batch replay.Batch) error {
		if batch.Expect.IsZero() && batch.ExpectMeta != nil {
			return &replay.ConflictError{ID: id, Reason: replay.ConflictReplaced}
		}
		return nil
	}), caught: []string{"another meta is refused"}},
	{name: "commits a batch that it refuses for its meta", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		if c.Reason == replay.ConflictReplaced {
			batch.ExpectMeta = nil
			_ = s.append(c.ID, batch)
		}
		return c
	}), caught: []string{"another meta is refused"}},
	{name: "ignores known keys", store: appends(func(batch replay.Batch) replay.Batch {
		batch.NewKeys = false
		return batch
	}), caught: []string{"a known key is refused", "a new key is won once", "a refusal names the first reason",
		"keys are forgotten with their entries", "contents come back byte for byte", "random operations match a model"}},
	{name: "commits the new part of a batch with known keys", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		if c.Reason == replay.ConflictKnownKeys {
			fresh := slices.DeleteFunc(slices.Clone(batch.Entries), func(e replay.Entry) bool { return len(carriers(c.Known, e.Key)) > 0 })
			_ = s.append(c.ID, follow(c.Head, fresh...))
		}
		return c
	}), caught: []string{"a known key is refused", "a batch may be long"}},
	{name: "returns half of what is known", store: refuses(func(_ *faulty, _ replay.Batch, c *replay.ConflictError) error {
		c.Known = c.Known[:(len(c.Known)+1)/2]
		return c
	}), caught: []string{"a known key is refused", "a batch may be long"}},
	{name: "takes a key that repeats in a batch for known", store: appendsFirst(func(_ *faulty, id string, batch replay.Batch) error {
		for i, entry := range batch.Entries {
			if batch.NewKeys && entry.Key != "" && len(carriers(batch.Entries[:i], entry.Key)) > 0 {
				return known(id, batch, batch.Entries[0])
			}
		}
		return nil
	}), caught: []string{"new keys commit"}},
	{name: "knows the keys of other ids", store: remembers(func(_, key string) string { return key }),
		caught: []string{"new keys commit"}},
	{name: "knows the keys of removed histories", store: remembers(func(id, key string) string { return id + "\x00\x00" + key }),
		caught: []string{"new keys commit", "a restart replaces the history"}},
	{name: "takes entries without a key for known", store: appendsFirst(func(s *faulty, id string, batch replay.Batch) error {
		for _, entry := range s.kept(id) {
			if batch.NewKeys && entry.Key == "" && len(carriers(batch.Entries, "")) > 0 {
				return known(id, batch, entry)
			}
		}
		return nil
	}), caught: []string{"new keys commit"}},
	{name: "checks the keys before the head", store: appendsFirst(func(s *faulty, id string, batch replay.Batch) error {
		found, _ := s.Memory.Find(context.Background(), id, keysOf(batch.Entries))
		if batch.NewKeys && len(found) > 0 {
			conflict := known(id, batch, found...)
			conflict.Head = s.head(id).Cursor
			return conflict
		}
		return nil
	}), caught: []string{"a refusal names the first reason", "random operations match a model"}},
}

func known(id string, batch replay.Batch, entries ...replay.Entry) *replay.ConflictError {
	return &replay.ConflictError{ID: id, Expected: batch.Expect, Head: batch.Expect, Reason: replay.ConflictKnownKeys, Known: entries}
}

// remembers refuses new keys that were ever used, by a name of the id and the
// key. It commits what it refuses.
func remembers(name func(id, key string) string) func(*faulty) {
	return func(s *faulty) {
		remembered := make(map[string]replay.Entry)
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			if err := s.Memory.Append(ctx, id, batch); err != nil {
				return err
			}
			var found []replay.Entry
			for _, entry := range batch.Entries {
				if known, again := remembered[name(id, entry.Key)]; again && batch.NewKeys && entry.Key != "" {
					found = append(found, known)
				}
			}
			for _, entry := range batch.Entries {
				remembered[name(id, entry.Key)] = entry
			}
			if found != nil {
				return known(id, batch, found...)
			}
			return nil
		}
	}
}

// faultsOfRestart are faults of batches that restart a history.
var faultsOfRestart = []fault{
	{name: "restarts nothing", store: appendsFirst(func(_ *faulty, _ string, batch replay.Batch) error {
		if isRestart(batch) {
			return replay.ErrInvalidBatch
		}
		return nil
	}), caught: []string{"a restart replaces the history", "a trimmed history restarts", "a restart may find earlier keys in their own epoch",
		"one of many batches wins", "a reopened store has everything", "readers of a trimmed history see no holes"}},
	{name: "restarts in two steps", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			if isRestart(batch) {
				if err := s.Memory.Append(ctx, id, removing(follow(batch.Expect, contents("")...))); err != nil {
					return err
				}
				yield(ctx)
				batch.Expect = replay.Cursor{}
			}
			return s.Memory.Append(ctx, id, batch)
		}
	}, caught: []string{"readers see one epoch without holes", "readers of a trimmed history see no holes"}},
	{name: "reads the first batch after a restart only", store: func(s *faulty) {
		var first replay.Batch
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			err := s.Memory.Append(ctx, id, batch)
			if err == nil && isRestart(batch) {
				first = batch
			}
			return err
		}
		reads(func(entries []replay.Entry) []replay.Entry {
			if first.Entries != nil {
				entries = entries[:min(len(entries), len(first.Entries))]
			}
			return entries
		})(s)
	}, caught: []string{"a restart replaces the history"}},
	{name: "restarts at any head", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		if isRestart(batch) && c.Reason == replay.ConflictMoved && batch.Last().Epoch > c.Head.Epoch {
			batch.Expect = c.Head
			return s.append(c.ID, batch)
		}
		return c
	}), caught: []string{"a batch at another head is refused", "one of many batches wins"}},
	{name: "restarts what does not exist", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		if isRestart(batch) && (c.Reason == replay.ConflictRemoved || c.Head.IsZero()) {
			batch.Expect = replay.Cursor{}
			return s.append(c.ID, batch)
		}
		return c
	}), caught: []string{"a batch at another head is refused"}},
	{name: "compares the epochs of a restart as floating-point numbers", store: appendsFirst(func(_ *faulty, _ string, batch replay.Batch) error {
		if isRestart(batch) && float64(batch.Last().Epoch) <= float64(batch.Expect.Epoch) {
			return replay.ErrInvalidBatch
		}
		return nil
	}), caught: []string{"epochs are compared exactly", "a restart replaces the history"}},
	{name: "compares the epochs of a restart as text", store: appendsFirst(func(_ *faulty, _ string, batch replay.Batch) error {
		if isRestart(batch) && fmt.Sprint(batch.Last().Epoch) <= fmt.Sprint(batch.Expect.Epoch) {
			return replay.ErrInvalidBatch
		}
		return nil
	}), caught: []string{"epochs are compared exactly"}},
	{name: "finds earlier keys in the newest epoch", store: findsEver(func(ever []replay.Entry, current replay.Cursor, key string) []replay.Entry {
		found := slices.Clone(carriers(ever, key))
		for i := range found {
			found[i].Cursor.Epoch = current.Epoch
		}
		return found[max(0, len(found)-1):]
	}), caught: []string{"a restart may find earlier keys in their own epoch"}},
	{name: "finds the keys of all earlier epochs", store: findsEver(func(ever []replay.Entry, _ replay.Cursor, key string) []replay.Entry {
		return carriers(ever, key)
	}), caught: []string{"a restart may find earlier keys in their own epoch", "a restart replaces the history", "a trimmed history restarts",
		"random operations match a model"}},
	{name: "finds earlier keys, but takes them for new", store: findsEver(func(ever []replay.Entry, current replay.Cursor, key string) []replay.Entry {
		found := carriers(ever, key)
		if current.IsZero() {
			return nil
		}
		return found[max(0, len(found)-1):]
	}), caught: []string{"a restart may find earlier keys in their own epoch"}},
	{name: "does not find earlier keys, but knows them", store: remembers(func(id, key string) string { return id + "\x00\x00" + key }),
		caught: []string{"a restart may find earlier keys in their own epoch"}},
}

// findsEver finds, besides what the Memory finds, what find selects of all
// entries that were ever committed.
func findsEver(find func(ever []replay.Entry, current replay.Cursor, key string) []replay.Entry) func(*faulty) {
	return func(s *faulty) {
		var mu sync.Mutex
		ever := make(map[string][]replay.Entry)
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			err := s.Memory.Append(ctx, id, batch)
			if err == nil {
				ever[id] = append(ever[id], batch.Entries...)
			}
			return err
		}
		finds(func(_ *faulty, id string, keys []string, found []replay.Entry) []replay.Entry {
			mu.Lock()
			defer mu.Unlock()
			current := s.head(id).Cursor
			for _, key := range keys {
				if key != "" && len(carriers(found, key)) == 0 {
					found = append(found, find(ever[id], current, key)...)
				}
			}
			return found
		})(s)
	}
}

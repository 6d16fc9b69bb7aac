package replaytest

import (
	"context"
	"sync"

	"github.com/safe-go/safe/replay"
)

// appendingAs makes the store append batches that were changed.
func appendingAs(s *faulty, m *replay.Memory, change func(replay.Batch) replay.Batch) {
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		return m.Append(ctx, id, change(batch))
	}
}

// retrying makes the store append a batch again where it was refused and again
// says how.
func retrying(s *faulty, m *replay.Memory, again func(batch replay.Batch, conflict *replay.ConflictError) *replay.Batch) {
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		err := m.Append(ctx, id, batch)
		if conflict := conflictOf(err); conflict != nil {
			if changed := again(batch, conflict); changed != nil {
				return m.Append(ctx, id, *changed)
			}
		}
		return err
	}
}

// remembering makes the store refuse new keys that it remembers by a name of
// the id and the key.
func remembering(s *faulty, m *replay.Memory, name func(id, key string) string) {
	var mu sync.Mutex
	remembered := make(map[string]replay.Entry)
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		err := m.Append(ctx, id, batch)
		if err != nil {
			return err
		}
		conflict := &replay.ConflictError{ID: id, Expected: batch.Expect, Head: batch.Expect}
		for _, entry := range batch.Entries {
			if known, found := remembered[name(id, entry.Key)]; found && batch.NewKeys && entry.Key != "" {
				conflict.Known = append(conflict.Known, known)
			}
		}
		for _, entry := range batch.Entries {
			remembered[name(id, entry.Key)] = entry
		}
		if conflict.Known != nil {
			return conflict
		}
		return nil
	}
}

func demandFaults() []fault {
	return []fault{
		{name: "takes no notice of the expected meta", store: func(s *faulty, m *replay.Memory) {
			appendingAs(s, m, func(batch replay.Batch) replay.Batch {
				batch.ExpectMeta = nil
				return batch
			})
		}, caught: []string{
			"a batch that expects another meta is refused",
			"a refusal names one reason: the head, then the meta, then the keys",
			"handles see each other's changes",
			"any sequence of operations does what the model does",
		}},
		{name: "compares metas up to a NUL", store: func(s *faulty, m *replay.Memory) {
			retrying(s, m, func(batch replay.Batch, conflict *replay.ConflictError) *replay.Batch {
				head, _ := m.Load(context.Background(), conflict.ID)
				if conflict.Reason == replay.ConflictReplaced && untilNUL(string(head.Meta)) == untilNUL(string(batch.ExpectMeta)) {
					batch.ExpectMeta = head.Meta
					return &batch
				}
				return nil
			})
		}, caught: []string{"a batch that expects another meta is refused"}},
		{name: "takes an empty meta for none that is expected", store: func(s *faulty, m *replay.Memory) {
			appendingAs(s, m, func(batch replay.Batch) replay.Batch {
				if len(batch.ExpectMeta) == 0 {
					batch.ExpectMeta = nil
				}
				return batch
			})
		}, caught: []string{"a batch that expects another meta is refused"}},
		{name: "takes a meta that is not expected for an empty one", store: func(s *faulty, m *replay.Memory) {
			appendingAs(s, m, func(batch replay.Batch) replay.Batch {
				batch.ExpectMeta = append([]byte{}, batch.ExpectMeta...)
				return batch
			})
		}, caught: []string{"a meta that is nil, or without a head, is not compared"}},
		{name: "starts no history of which a meta is expected", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if batch.Expect.IsZero() && batch.ExpectMeta != nil {
					return &replay.ConflictError{ID: id, Reason: replay.ConflictReplaced}
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"a meta that is nil, or without a head, is not compared"}},
		{name: "leaves behind a batch that expected another meta", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Reason == replay.ConflictReplaced {
					batch.ExpectMeta = nil
					m.Append(ctx, id, batch)
				}
				return err
			}
		}, caught: []string{"a batch that expects another meta is refused"}},
		{name: "takes no notice of known keys", store: func(s *faulty, m *replay.Memory) {
			appendingAs(s, m, func(batch replay.Batch) replay.Batch {
				batch.NewKeys = false
				return batch
			})
		}, caught: []string{
			"a batch with a known key is refused",
			"a new key is new once",
			"a refusal names one reason: the head, then the meta, then the keys",
			"keys are forgotten with their entries",
			"contents come back byte for byte",
			"any sequence of operations does what the model does",
		}},
		{name: "commits what is new of a batch", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Known != nil {
					var fresh []replay.Entry
					for _, entry := range batch.Entries {
						if len(carriers(conflict.Known, entry.Key)) == 0 {
							fresh = append(fresh, entry)
						}
					}
					m.Append(ctx, id, follow(conflict.Head, fresh...))
				}
				return err
			}
		}, caught: []string{"a batch with a known key is refused", "a batch may be long"}},
		{name: "says half of what is known", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Known != nil {
					conflict.Known = conflict.Known[:(len(conflict.Known)+1)/2]
				}
				return err
			}
		}, caught: []string{"a batch with a known key is refused", "a batch may be long"}},
		{name: "takes a key that a batch repeats for a known one", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				for i, entry := range batch.Entries {
					if batch.NewKeys && entry.Key != "" && len(carriers(batch.Entries[:i], entry.Key)) > 0 {
						return &replay.ConflictError{ID: id, Expected: batch.Expect, Head: batch.Expect, Known: batch.Entries[:1]}
					}
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"a batch with new keys commits"}},
		{name: "knows the keys of other ids", store: func(s *faulty, m *replay.Memory) {
			remembering(s, m, func(_, key string) string { return key })
		}, caught: []string{"a batch with new keys commits"}},
		{name: "knows the keys of what was removed", store: func(s *faulty, m *replay.Memory) {
			remembering(s, m, func(id, key string) string { return id + "\x00\x00" + key })
		}, caught: []string{"a batch with new keys commits", "a batch may start a history over and end it"}},
		{name: "takes entries without a key for known", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				for _, entry := range keptEntries(ctx, m, id) {
					if batch.NewKeys && entry.Key == "" && len(carriers(batch.Entries, "")) > 0 {
						return &replay.ConflictError{ID: id, Expected: batch.Expect, Head: batch.Expect, Known: []replay.Entry{entry}}
					}
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"a batch with new keys commits"}},
		{name: "looks at the keys before the head", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				known, _ := m.Find(ctx, id, keysOf(batch.Entries))
				head, _ := m.Load(ctx, id)
				if batch.NewKeys && len(known) > 0 {
					return &replay.ConflictError{ID: id, Expected: batch.Expect, Head: head.Cursor, Known: known}
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{
			"a refusal names one reason: the head, then the meta, then the keys",
			"any sequence of operations does what the model does",
		}},
	}
}

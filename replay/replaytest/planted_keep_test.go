package replaytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

func retentionFaults() []fault {
	return []fault{
		{name: "reads what is left for a cursor too old", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				entries, err := m.Read(ctx, id, after, limit)
				if errors.Is(err, replay.ErrCursorTooOld) {
					return keptEntries(ctx, m, id), nil
				}
				return entries, err
			}
		}, caught: []string{
			"oldest agrees with read",
			"any sequence of operations on a trimmed store does what the model does",
		}},
		{name: "says an oldest revision that cannot be read", store: func(s *faulty, m *replay.Memory) {
			s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
				head, err := m.Load(ctx, id)
				if head.Oldest > 1 {
					head.Oldest--
				}
				return head, err
			}
		}, caught: []string{"oldest agrees with read", "the newest state outlives its entry"}},
		{name: "keeps fewer entries than it should", harness: func(h *Harness) {
			bounded := h.OpenBounded
			h.OpenBounded = func(t testing.TB, entries int) replay.Store { return bounded(t, max(1, entries-1)) }
		}, caught: []string{
			"oldest agrees with read",
			"any sequence of operations on a trimmed store does what the model does",
		}},
		{name: "never trims", harness: func(h *Harness) {
			h.OpenBounded = func(t testing.TB, _ int) replay.Store {
				return mustMemory(t, &replay.MemoryOptions{MaxEntries: -1})
			}
		}, caught: []string{
			"oldest agrees with read",
			"the newest state outlives its entry",
			"keys are forgotten with their entries",
		}},
		{name: "trims the state with its entry", store: func(s *faulty, m *replay.Memory) {
			s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
				head, err := m.Load(ctx, id)
				head.State = nil
				for _, entry := range keptEntries(ctx, m, id) {
					if entry.State != nil {
						head.State = entry.State
					}
				}
				return head, err
			}
		}, caught: []string{"the newest state outlives its entry"}},
		{name: "forgets a repeated key with its first entry", store: func(s *faulty, m *replay.Memory) {
			first := make(map[string]uint64)
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				for _, entry := range batch.Entries {
					if first[entry.Key] == 0 {
						first[entry.Key] = entry.Cursor.Revision
					}
				}
				return m.Append(ctx, id, batch)
			}
			s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
				head, _ := m.Load(ctx, id)
				entries, err := m.Find(ctx, id, keys)
				return slices.DeleteFunc(entries, func(e replay.Entry) bool { return first[e.Key] < head.Oldest }), err
			}
		}, caught: []string{"keys are forgotten with their entries"}},
		{name: "remembers keys for ever", store: func(s *faulty, m *replay.Memory) {
			remembered := make(map[string]replay.Entry)
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				for _, entry := range batch.Entries {
					if err == nil && entry.Key != "" {
						remembered[entry.Key] = entry
					}
				}
				return err
			}
			s.onFind = func(_ context.Context, _ string, keys []string) (entries []replay.Entry, _ error) {
				for _, key := range keys {
					if entry, found := remembered[key]; found {
						entries = append(entries, entry)
					}
				}
				return entries, nil
			}
		}, caught: []string{
			"keys are forgotten with their entries",
			"nothing of an earlier epoch comes back",
			"a removed history is gone",
		}},
	}
}

func keyFaults() []fault {
	return []fault{
		{name: "finds the first key only", store: func(s *faulty, m *replay.Memory) {
			s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
				return m.Find(ctx, id, keys[:min(1, len(keys))])
			}
		}, caught: []string{"keys find their entries", "keys are any text"}},
		{name: "finds entries without a key", store: func(s *faulty, m *replay.Memory) {
			s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
				entries, err := m.Find(ctx, id, keys)
				for _, entry := range keptEntries(ctx, m, id) {
					if entry.Key == "" && slices.Contains(keys, "") {
						entries = append(entries, entry)
					}
				}
				return entries, err
			}
		}, caught: []string{"keys find their entries"}},
		{name: "finds an entry as often as its key is asked for", store: func(s *faulty, m *replay.Memory) {
			s.onFind = func(ctx context.Context, id string, keys []string) (all []replay.Entry, err error) {
				for _, key := range keys {
					entries, err := m.Find(ctx, id, []string{key})
					if err != nil {
						return nil, err
					}
					all = append(all, entries...)
				}
				return all, nil
			}
		}, caught: []string{"keys find their entries"}},
		{name: "finds the oldest entry of a repeated key", store: func(s *faulty, m *replay.Memory) {
			s.onFind = func(ctx context.Context, id string, keys []string) (found []replay.Entry, err error) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				for _, entry := range keptEntries(ctx, m, id) {
					if i := slices.Index(keys, entry.Key); i >= 0 && entry.Key != "" {
						found = append(found, entry)
						keys = slices.Delete(slices.Clone(keys), i, i+1)
					}
				}
				return found, nil
			}
		}, caught: []string{"a repeated key finds the newest entry", "keys are forgotten with their entries"}},
		{name: "confuses keys that differ in case", store: func(s *faulty, m *replay.Memory) {
			aliasKeys(s, m, strings.ToLower)
		}, caught: []string{"keys are any text"}},
		{name: "ends keys at a NUL", store: func(s *faulty, m *replay.Memory) {
			aliasKeys(s, m, untilNUL)
		}, caught: []string{"keys are any text"}},
	}
}

func removalFaults() []fault {
	return []fault{
		{name: "does not remove", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				batch.Remove = false
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{
			"a removed history is gone",
			"a batch may start and end a history",
			"ids are complete",
			"one of many starts wins",
		}},
		{name: "does not remove what it starts", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				batch.Remove = batch.Remove && !batch.Expect.IsZero()
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"a batch may start and end a history"}},
		{name: "starts again in any epoch", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Reason == replay.ConflictRemoved && batch.Expect.IsZero() {
					batch = start(conflict.Head.Epoch+1, batch.Entries...)
					return m.Append(ctx, id, batch)
				}
				return err
			}
		}, caught: []string{
			"a history starts again only in a later epoch",
			"a batch may start and end a history",
			"epochs are compared exactly",
			"any sequence of operations does what the model does",
		}},
		{name: "does not know that there was a history", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Reason == replay.ConflictRemoved {
					conflict.Head, conflict.Reason = replay.Cursor{}, replay.ConflictMoved
				}
				return err
			}
		}, caught: []string{"a removed history is gone", "a history starts again only in a later epoch"}},
		{name: "brings back the state of an earlier epoch", store: func(s *faulty, m *replay.Memory) {
			var earlier []byte
			s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
				head, err := m.Load(ctx, id)
				if head.State == nil {
					head.State = earlier
				}
				return head, err
			}
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				for _, entry := range batch.Entries {
					if entry.State != nil {
						earlier = entry.State
					}
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"nothing of an earlier epoch comes back"}},
		{name: "compares epochs as floating-point numbers", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				head, err := m.Load(ctx, id)
				if err == nil && float64(after.Epoch) == float64(head.Cursor.Epoch) {
					after.Epoch = head.Cursor.Epoch
				}
				return m.Read(ctx, id, after, limit)
			}
		}, caught: []string{"epochs are compared exactly", "a cursor that nothing continues is refused"}},
	}
}

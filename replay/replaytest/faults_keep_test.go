package replaytest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/replay"
)

// faultsOfRead are faults of what Read, Load and Find return.
var faultsOfRead = []fault{
	{name: "reads from the cursor on instead of after it", store: readsAt(func(_, after replay.Cursor, limit int) (replay.Cursor, int) {
		after.Revision = max(after.Revision, 1) - 1
		return after, limit
	}), caught: []string{"read returns exactly what followed", "random operations match a model"}},
	{name: "skips every seventh revision", store: reads(func(entries []replay.Entry) []replay.Entry {
		return slices.DeleteFunc(entries, func(e replay.Entry) bool { return e.Cursor.Revision%7 == 0 })
	}), caught: []string{"read returns exactly what followed", "each revision is won once", "ids are independent",
		"readers see one epoch without holes", "readers of a trimmed history see no holes", "random operations match a model",
		"random operations on a trimmed store match a model"}},
	{name: "reads the newest entries first", store: reads(func(entries []replay.Entry) []replay.Entry {
		slices.Reverse(entries)
		return entries
	}), caught: []string{"read returns exactly what followed"}},
	{name: "ignores the limit", store: readsAt(func(_, after replay.Cursor, _ int) (replay.Cursor, int) { return after, all }),
		caught: []string{"read returns exactly what followed"}},
	{name: "takes a limit below 1 for none", store: readsAt(func(_, after replay.Cursor, limit int) (replay.Cursor, int) {
		if limit < 1 {
			limit = all
		}
		return after, limit
	}), caught: []string{"read returns exactly what followed"}},
	{name: "continues cursors of another epoch", store: readsAt(func(head, after replay.Cursor, limit int) (replay.Cursor, int) {
		after.Epoch = head.Epoch
		return after, limit
	}), caught: []string{"a cursor that nothing continues is refused", "a removed history starts in a later epoch only"}},
	{name: "takes the zero cursor for the start of the history", store: readsAt(func(head, after replay.Cursor, limit int) (replay.Cursor, int) {
		if after.IsZero() {
			after.Epoch = head.Epoch
		}
		return after, limit
	}), caught: []string{"a cursor that nothing continues is refused"}},
	{name: "compares epochs as floating-point numbers", store: readsAt(func(head, after replay.Cursor, limit int) (replay.Cursor, int) {
		if float64(after.Epoch) == float64(head.Epoch) {
			after.Epoch = head.Epoch
		}
		return after, limit
	}), caught: []string{"epochs are compared exactly", "a cursor that nothing continues is refused"}},
	{name: "reads nothing after a future cursor", store: readsInstead(replay.ErrFutureCursor, readsNothing),
		caught: []string{"a cursor that nothing continues is refused"}},
	{name: "reads nothing where there is no history", store: readsInstead(replay.ErrNotFound, readsNothing),
		caught: []string{"a cursor that nothing continues is refused", "a removed history is gone"}},
	{name: "refuses a cursor without a CursorError", store: readsInstead(replay.ErrUnknownEpoch, func(_ *faulty, _ string, err error) ([]replay.Entry, error) {
		return nil, errors.Unwrap(err)
	}), caught: []string{"a cursor that nothing continues is refused"}},
	{name: "reads what is kept after a cursor too old", store: readsInstead(replay.ErrCursorTooOld, func(s *faulty, id string, _ error) ([]replay.Entry, error) {
		return s.kept(id), nil
	}), caught: []string{"trimming keeps the newest entries and the snapshot", "random operations on a trimmed store match a model"}},
	{name: "loads an oldest revision that cannot be read", store: loads(func(_ *faulty, _ string, head *replay.Head) {
		head.Oldest = max(2, head.Oldest) - 1
	}), caught: []string{"trimming keeps the newest entries and the snapshot"}},

	{name: "keeps fewer entries than its bound", harness: func(h *Harness) {
		bounded := h.OpenBounded
		h.OpenBounded = func(t testing.TB, entries int) replay.Store { return bounded(t, max(1, entries-1)) }
	}, caught: []string{"trimming keeps the newest entries and the snapshot", "random operations on a trimmed store match a model"}},
	{name: "never trims", harness: func(h *Harness) {
		h.OpenBounded = func(t testing.TB, _ int) replay.Store {
			return newMemory(t, &replay.MemoryOptions{MaxEntries: -1})
		}
	}, caught: []string{"trimming keeps the newest entries and the snapshot", "keys are forgotten with their entries"}},
	{name: "forgets a repeated key with its first entry", store: func(s *faulty) {
		first := make(map[string]uint64)
		appendsFirst(func(_ *faulty, _ string, batch replay.Batch) error {
			for _, entry := range batch.Entries {
				if first[entry.Key] == 0 {
					first[entry.Key] = entry.Cursor.Revision
				}
			}
			return nil
		})(s)
		finds(func(_ *faulty, id string, _ []string, found []replay.Entry) []replay.Entry {
			return slices.DeleteFunc(found, func(e replay.Entry) bool { return first[e.Key] < s.head(id).Oldest })
		})(s)
	}, caught: []string{"keys are forgotten with their entries"}},
	{name: "remembers keys for ever", store: indexes(func(_, key string) string { return key }),
		caught: []string{"keys are forgotten with their entries", "a removed history starts in a later epoch only", "a removed history is gone"}},
	{name: "joins an id and a key with a colon", store: indexes(func(id, key string) string { return id + ":" + key }),
		caught: []string{"keys are any text"}},

	{name: "finds the first key only", store: func(s *faulty) {
		s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
			return s.Memory.Find(ctx, id, keys[:min(1, len(keys))])
		}
	}, caught: []string{"keys find their newest entries", "keys are any text"}},
	{name: "finds entries without a key", store: finds(func(s *faulty, id string, keys []string, found []replay.Entry) []replay.Entry {
		if slices.Contains(keys, "") {
			found = append(found, carriers(s.kept(id), "")...)
		}
		return found
	}), caught: []string{"keys find their newest entries"}},
	{name: "finds an entry as often as its key is asked for", store: finds(func(_ *faulty, _ string, keys []string, found []replay.Entry) []replay.Entry {
		var repeated []replay.Entry
		for _, key := range keys {
			repeated = append(repeated, carriers(found, key)...)
		}
		return repeated
	}), caught: []string{"keys find their newest entries"}},
	{name: "finds the oldest entry of a repeated key", store: finds(func(s *faulty, id string, _ []string, found []replay.Entry) []replay.Entry {
		for i := range found {
			found[i] = carriers(s.kept(id), found[i].Key)[0]
		}
		return found
	}), caught: []string{"keys find their newest entries", "keys are forgotten with their entries"}},
	{name: "confuses keys that differ in case", store: confusesKeys(strings.ToLower), caught: []string{"keys are any text"}},
	{name: "ends keys at a NUL", store: confusesKeys(untilNUL), caught: []string{"keys are any text"}},
}

func readsNothing(*faulty, string, error) ([]replay.Entry, error) { return nil, nil }

// indexes finds keys by a name of the id and the key, for ever.
func indexes(name func(id, key string) string) func(*faulty) {
	return func(s *faulty) {
		index := make(map[string]replay.Entry)
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			err := s.Memory.Append(ctx, id, batch)
			for _, entry := range batch.Entries {
				if err == nil && entry.Key != "" {
					index[name(id, entry.Key)] = entry
				}
			}
			return err
		}
		finds(func(_ *faulty, id string, keys []string, _ []replay.Entry) (found []replay.Entry) {
			for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
				if entry, there := index[name(id, key)]; there {
					found = append(found, entry)
				}
			}
			return found
		})(s)
	}
}

// faultsOfRemoval are faults of removed histories and of ids.
var faultsOfRemoval = []fault{
	{name: "does not remove", store: appends(func(batch replay.Batch) replay.Batch {
		batch.Remove = false
		return batch
	}), caught: []string{"a removed history is gone", "ids are complete", "one of many batches wins"}},
	{name: "does not remove what it starts", store: appends(func(batch replay.Batch) replay.Batch {
		batch.Remove = batch.Remove && !batch.Expect.IsZero()
		return batch
	}), caught: []string{"a removed history is gone"}},
	{name: "starts again in any epoch", store: refuses(func(s *faulty, batch replay.Batch, c *replay.ConflictError) error {
		if c.Reason == replay.ConflictRemoved && batch.Expect.IsZero() {
			return s.append(c.ID, start(c.Head.Epoch+1, batch.Entries...))
		}
		return c
	}), caught: []string{"a removed history starts in a later epoch only", "a removed history is gone", "epochs are compared exactly",
		"random operations match a model"}},
	{name: "does not know that there was a history", store: refuses(func(_ *faulty, _ replay.Batch, c *replay.ConflictError) error {
		if c.Reason == replay.ConflictRemoved {
			c.Head, c.Reason = replay.Cursor{}, replay.ConflictMoved
		}
		return c
	}), caught: []string{"a removed history is gone", "a removed history starts in a later epoch only"}},

	{name: "leaves out an id", store: ranges(func(ids iter.Seq2[string, error], yield func(string, error) bool) {
		first := true
		for id, err := range ids {
			if !first && !yield(id, err) {
				return
			}
			first = false
		}
	}), caught: []string{"ids are complete"}},
	{name: "yields ids twice", store: ranges(func(ids iter.Seq2[string, error], yield func(string, error) bool) {
		for id, err := range ids {
			for range 2 {
				if !yield(id, err) {
					return
				}
			}
		}
	}), caught: []string{"ids are complete"}},
	{name: "takes no batches while ids are ranged over", store: func(s *faulty) {
		var ranging atomic.Bool
		ranges(func(ids iter.Seq2[string, error], yield func(string, error) bool) {
			ranging.Store(true)
			defer ranging.Store(false)
			ids(yield)
		})(s)
		appendsFirst(func(*faulty, string, replay.Batch) error {
			if ranging.Load() {
				return replay.ErrUnavailable
			}
			return nil
		})(s)
	}, caught: []string{"ids are complete"}},
	{name: "yields ids after an error", store: ranges(func(ids iter.Seq2[string, error], yield func(string, error) bool) {
		for id, err := range ids {
			if !yield(id, err) || err != nil && !yield(id, err) {
				return
			}
		}
	}), caught: []string{"an ended context changes nothing"}},
	{name: "confuses ids that differ in case", store: confusesIDs(strings.ToLower), caught: []string{"ids are any text", "random operations match a model"}},
	{name: "ends ids at a NUL", store: confusesIDs(untilNUL), caught: []string{"ids are any text"}},
	{name: "takes what is in braces for the id", store: confusesIDs(func(id string) string {
		if _, after, found := strings.Cut(id, "{"); found {
			if inner, _, found := strings.Cut(after, "}"); found && inner != "" {
				return inner
			}
		}
		return id
	}), caught: []string{"ids are any text"}},
	{name: "confuses ids that begin alike", store: confusesIDs(func(id string) string { return id[:min(3, len(id))] }),
		caught: []string{"ids are independent", "ids are complete"}},
}

// faultsOfContent are faults of what a store keeps, and of its life cycle.
var faultsOfContent = []fault{
	{name: "makes data valid UTF-8", store: appendsData(func(data []byte) []byte { return bytes.ToValidUTF8(data, []byte("\ufffd")) }),
		caught: []string{"contents come back byte for byte"}},
	{name: "ends data at a NUL", store: appendsData(func(data []byte) []byte { return []byte(untilNUL(string(data))) }),
		caught: []string{"contents come back byte for byte"}},
	{name: "cuts data at 64 KiB", store: appendsData(func(data []byte) []byte { return data[:min(len(data), 1<<16)] }),
		caught: []string{"contents come back byte for byte"}},
	{name: "changes what it is given", store: appendsData(func(data []byte) []byte {
		kept := bytes.Clone(data)
		clear(data)
		return kept
	}), caught: []string{"contents come back byte for byte"}},
	{name: "takes a hundred entries at once", store: appendsFirst(func(_ *faulty, _ string, batch replay.Batch) error {
		if len(batch.Entries) > 100 {
			return errors.New("too many")
		}
		return nil
	}), caught: []string{"a batch may be long", "a batch commits whole at the expected head"}},
	{name: "overwrites its results", store: func(s *faulty) {
		var results [][]byte
		reads(func(entries []replay.Entry) []replay.Entry {
			for i := range entries {
				entries[i].Data = bytes.Clone(entries[i].Data)
				results = append(results, entries[i].Data)
			}
			return entries
		})(s)
		s.onClose = func() error {
			for _, data := range results {
				clear(data)
			}
			return s.Memory.Close()
		}
	}, caught: []string{"results stay unchanged"}},

	{name: "ignores contexts", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			return s.Memory.Append(context.WithoutCancel(ctx), id, batch)
		}
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			return s.Memory.Load(context.WithoutCancel(ctx), id, have)
		}
	}, caught: []string{"an ended context changes nothing"}},
	{name: "appends before it checks the context", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			return errors.Join(s.Memory.Append(context.WithoutCancel(ctx), id, batch), ctx.Err())
		}
	}, caught: []string{"an ended context changes nothing"}},
	{name: "commits half a batch when its context ends", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			if len(batch.Entries) > 1 && !isRestart(batch) {
				half := batch
				half.Entries = batch.Entries[:1]
				if err := s.Memory.Append(ctx, id, half); err != nil {
					return err
				}
				yield(ctx)
				batch.Expect, batch.Entries = half.Last(), batch.Entries[1:]
			}
			return s.Memory.Append(ctx, id, batch)
		}
	}, caught: []string{"a batch stays whole when its context ends"}},
	{name: "commits a batch without its snapshot when its context ends", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			if yield(ctx); ctx.Err() != nil {
				batch.Snapshot = nil
			}
			return errors.Join(s.Memory.Append(context.WithoutCancel(ctx), id, batch), ctx.Err())
		}
	}, caught: []string{"a batch stays whole when its context ends"}},
	{name: "acknowledges a batch when its context ends", store: func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			if yield(ctx); ctx.Err() != nil {
				return nil
			}
			return s.Memory.Append(ctx, id, batch)
		}
	}, caught: []string{"a batch stays whole when its context ends"}},
	{name: "works on when it is closed", store: func(s *faulty) {
		s.onClose = func() error { return nil }
	}, caught: []string{"a closed store refuses everything"}},
	{name: "finds no history when it is closed", store: func(s *faulty) {
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			head, err := s.Memory.Load(ctx, id, have)
			if errors.Is(err, replay.ErrClosed) {
				err = replay.ErrNotFound
			}
			return head, err
		}
	}, caught: []string{"a closed store refuses everything"}},
	{name: "cannot be closed twice", store: func(s *faulty) {
		s.onClose = func() error {
			if _, err := s.Memory.Load(context.Background(), "", replay.Cursor{}); errors.Is(err, replay.ErrClosed) {
				return err
			}
			return s.Memory.Close()
		}
	}, caught: []string{"a closed store refuses everything"}},

	{name: "is empty after reopening", harness: func(h *Harness) {
		h.Reopen = func(t testing.TB, _ replay.Store) replay.Store { return newMemory(t, nil) }
	}, caught: []string{"a reopened store has everything", "acknowledged batches survive reopening", "random operations match a model"}},
	{name: "forgets keys when it is reopened", harness: func(h *Harness) {
		h.Reopen = func(_ testing.TB, store replay.Store) replay.Store { return withoutKeys{store} }
	}, caught: []string{"a reopened store has everything"}},
	{name: "forgets removed histories when it is reopened", harness: func(h *Harness) {
		h.Reopen = func(t testing.TB, store replay.Store) replay.Store { return copied(t, store, 0) }
	}, caught: []string{"a reopened store remembers epochs"}},
	{name: "loses the newest entry when it is reopened", harness: func(h *Harness) {
		h.Reopen = func(t testing.TB, store replay.Store) replay.Store { return copied(t, store, 1) }
	}, caught: []string{"acknowledged batches survive reopening", "a reopened store has everything"}},
	{name: "returns what it had trimmed when it is reopened", harness: func(h *Harness) {
		h.Reopen = func(_ testing.TB, store replay.Store) replay.Store {
			s := store.(*faulty)
			loads(func(_ *faulty, _ string, head *replay.Head) { head.Oldest-- })(s)
			return s
		}
	}, caught: []string{"a reopened store stays trimmed"}},
	{name: "opens a second handle on a copy", harness: func(h *Harness) {
		h.Second = func(t testing.TB, store replay.Store) replay.Store { return copied(t, store, 0) }
	}, caught: []string{"handles see each other's changes", "each revision is won once"}},
	{name: "closes all handles with one", harness: func(h *Harness) {
		h.Second = func(_ testing.TB, store replay.Store) replay.Store { return store }
	}, caught: []string{"handles see each other's changes"}},
}

// withoutKeys is a store that finds no keys.
type withoutKeys struct{ replay.Store }

func (withoutKeys) Find(context.Context, string, []string) ([]replay.Entry, error) { return nil, nil }

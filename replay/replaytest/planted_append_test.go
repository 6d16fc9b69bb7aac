package replaytest

import (
	"context"
	"errors"
	"slices"

	"github.com/safe-go/safe/replay"
)

func appendFaults() []fault {
	return []fault{
		{name: "ignores what a batch expects", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				for {
					err := m.Append(ctx, id, batch)
					conflict := conflictOf(err)
					if conflict == nil || conflict.Reason == replay.ConflictRemoved || conflict.Head.IsZero() {
						return err
					}
					batch = renumbered(batch, conflict.Head)
				}
			}
		}, caught: []string{
			"a batch that expects another head is refused",
			"each revision is won once",
			"one of many starts wins",
			"handles see each other's changes",
			"any sequence of operations does what the model does",
		}},
		{name: "takes a batch for a head in the future", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				conflict := conflictOf(err)
				if conflict != nil && conflict.Head.Epoch == batch.Expect.Epoch && conflict.Head.Revision < batch.Expect.Revision {
					return m.Append(ctx, id, renumbered(batch, conflict.Head))
				}
				return err
			}
		}, caught: []string{"a batch that expects another head is refused"}},
		{name: "starts histories that were expected to be there", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Head.IsZero() {
					return m.Append(ctx, id, start(batch.Expect.Epoch, batch.Entries...))
				}
				return err
			}
		}, caught: []string{"a batch that expects another head is refused"}},
		{name: "forgets the last entry of a batch", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if n := len(batch.Entries); n > 1 {
					batch.Entries = batch.Entries[:n-1]
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{
			"a batch commits at the head it expects",
			"a batch commits whole",
			"different ids do not disturb each other",
			"any sequence of operations on a trimmed store does what the model does",
		}},
		{name: "keeps the state of the last entry only", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				last := batch.Last()
				return m.Append(ctx, id, edited(batch, func(e *replay.Entry) {
					if e.Cursor != last {
						e.State = nil
					}
				}))
			}
		}, caught: []string{"a batch commits whole", "readers see a growing history without holes"}},
		{name: "commits the first entry of a refused batch", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Reason != replay.ConflictRemoved && len(batch.Entries) > 1 {
					m.Append(ctx, id, follow(conflict.Head, batch.Entries[0]))
				}
				return err
			}
		}, caught: []string{"a refused batch leaves nothing behind"}},
		{name: "finds the keys of a refused batch", store: func(s *faulty, m *replay.Memory) {
			var refused []replay.Entry
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if err != nil {
					refused = append(refused, batch.Entries...)
				}
				return err
			}
			s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
				entries, err := m.Find(ctx, id, keys)
				for _, entry := range refused {
					if entry.Key != "" && slices.Contains(keys, entry.Key) {
						entries = append(entries, entry)
					}
				}
				return entries, err
			}
		}, caught: []string{"a refused batch leaves nothing behind", "an ended context changes nothing"}},
		{name: "says half of what was missed", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && len(conflict.Missed) > 3 {
					conflict.Missed = conflict.Missed[:3]
				}
				return err
			}
		}, caught: []string{"a refusal says what was missed or nothing"}},
		{name: "says what is left of what was missed", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Missed == nil && conflict.Reason != replay.ConflictRemoved {
					conflict.Missed = keptEntries(ctx, m, id)
				}
				return err
			}
		}, caught: []string{"a refusal says what was missed or nothing", "a batch that expects another head is refused"}},
		{name: "renumbers misnumbered batches", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if errors.Is(err, replay.ErrInvalidBatch) {
					return m.Append(ctx, id, renumbered(batch, batch.Expect))
				}
				return err
			}
		}, caught: []string{"a misnumbered batch is invalid", "any sequence of operations does what the model does"}},
		{name: "keeps the meta where a batch has none", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if head, err := m.Load(ctx, id); err == nil && batch.Meta == nil {
					batch.Meta = head.Meta
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"every batch replaces the meta"}},
	}
}

func readFaults() []fault {
	return []fault{
		{name: "reads from the cursor on instead of after it", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				if after.Revision > 0 {
					after.Revision--
				}
				return m.Read(ctx, id, after, limit)
			}
		}, caught: []string{
			"read returns exactly what followed",
			"read in pieces repeats and misses nothing",
			"any sequence of operations does what the model does",
		}},
		{name: "skips every seventh revision", store: func(s *faulty, m *replay.Memory) {
			reads(s, m, func(entries []replay.Entry) []replay.Entry {
				return slices.DeleteFunc(entries, func(e replay.Entry) bool { return e.Cursor.Revision%7 == 0 })
			})
		}, caught: []string{
			"read returns exactly what followed",
			"read in pieces repeats and misses nothing",
			"each revision is won once",
			"different ids do not disturb each other",
			"readers see a growing history without holes",
			"readers of a trimmed history see no holes",
			"readers of a history that starts over see one epoch at a time",
			"any sequence of operations does what the model does",
			"any sequence of operations on a trimmed store does what the model does",
		}},
		{name: "reads the newest entries first", store: func(s *faulty, m *replay.Memory) {
			reads(s, m, func(entries []replay.Entry) []replay.Entry {
				slices.Reverse(entries)
				return entries
			})
		}, caught: []string{"read returns exactly what followed"}},
		{name: "takes no notice of the limit", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, _ int) ([]replay.Entry, error) {
				return m.Read(ctx, id, after, all)
			}
		}, caught: []string{"read returns exactly what followed", "read in pieces repeats and misses nothing"}},
		{name: "takes a limit below 1 for none", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				if limit < 1 {
					limit = all
				}
				return m.Read(ctx, id, after, limit)
			}
		}, caught: []string{"read returns exactly what followed"}},
		{name: "continues cursors of another epoch", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				entries, err := m.Read(ctx, id, after, limit)
				if errors.Is(err, replay.ErrUnknownEpoch) {
					head, _ := m.Load(ctx, id)
					return m.Read(ctx, id, replay.Cursor{Epoch: head.Cursor.Epoch, Revision: after.Revision}, limit)
				}
				return entries, err
			}
		}, caught: []string{"a cursor that nothing continues is refused", "nothing of an earlier epoch comes back"}},
		{name: "takes the zero cursor for the start of the history", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				if head, err := m.Load(ctx, id); err == nil && after.IsZero() {
					after.Epoch = head.Cursor.Epoch
				}
				return m.Read(ctx, id, after, limit)
			}
		}, caught: []string{"a cursor that nothing continues is refused"}},
		{name: "waits quietly for cursors from the future", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				entries, err := m.Read(ctx, id, after, limit)
				if errors.Is(err, replay.ErrFutureCursor) {
					return nil, nil
				}
				return entries, err
			}
		}, caught: []string{"a cursor that nothing continues is refused"}},
		{name: "reads nothing where there is no history", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				entries, err := m.Read(ctx, id, after, limit)
				if errors.Is(err, replay.ErrNotFound) {
					return nil, nil
				}
				return entries, err
			}
		}, caught: []string{"there is nothing to read where there is no history", "a removed history is gone"}},
		{name: "refuses cursors without saying where the history is", store: func(s *faulty, m *replay.Memory) {
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				entries, err := m.Read(ctx, id, after, limit)
				if refusal, ok := errors.AsType[*replay.CursorError](err); ok {
					return nil, refusal.Reason
				}
				return entries, err
			}
		}, caught: []string{"a cursor that nothing continues is refused"}},
	}
}

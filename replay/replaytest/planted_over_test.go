package replaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// isOver says that a batch starts a history over.
func isOver(batch replay.Batch) bool { return batch.Starts() && !batch.Expect.IsZero() }

// withEarlier makes the store find, besides what it finds, what find says of
// the entries that were ever committed.
func withEarlier(s *faulty, m *replay.Memory, find func(ever []replay.Entry, current replay.Cursor, key string) []replay.Entry) {
	var mu sync.Mutex
	ever := make(map[string][]replay.Entry)
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		err := m.Append(ctx, id, batch)
		if err == nil {
			ever[id] = append(ever[id], batch.Entries...)
		}
		return err
	}
	s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
		mu.Lock()
		defer mu.Unlock()
		found, err := m.Find(ctx, id, keys)
		head, _ := m.Load(ctx, id)
		for _, key := range keys {
			if key != "" && len(carriers(found, key)) == 0 {
				found = append(found, find(ever[id], head.Cursor, key)...)
			}
		}
		return found, err
	}
}

func overFaults() []fault {
	return []fault{
		{name: "does not start over", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if isOver(batch) {
					return replay.ErrInvalidBatch
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{
			"a history starts over whole",
			"a batch may start a history over and end it",
			"a trimmed history starts over",
			"earlier keys are found in their own epoch or not at all",
			"one of many starts over wins",
			"a reopened store knows where a history started over",
			"readers of a trimmed history that starts over see one epoch at a time",
		}},
		{name: "starts over in two steps", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if !isOver(batch) {
					return m.Append(ctx, id, batch)
				}
				err := m.Append(ctx, id, removing(follow(batch.Expect, contents("")...)))
				if err != nil {
					return err
				}
				for range 1000 {
					runtime.Gosched()
				}
				batch.Expect = replay.Cursor{}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{
			"readers of a history that starts over without an end see one epoch at a time",
			"readers of a trimmed history that starts over see one epoch at a time",
		}},
		{name: "reads nothing but the newest epoch's first batch", store: func(s *faulty, m *replay.Memory) {
			var first replay.Batch
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				if err == nil && isOver(batch) {
					first = batch
				}
				return err
			}
			s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				entries, err := m.Read(ctx, id, after, limit)
				if first.Entries != nil && len(entries) > len(first.Entries) {
					entries = entries[:len(first.Entries)]
				}
				return entries, err
			}
		}, caught: []string{"a history starts over whole"}},
		{name: "keeps the state from before it started over", store: func(s *faulty, m *replay.Memory) {
			var before []byte
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if head, err := m.Load(ctx, id); err == nil && head.State != nil {
					before = head.State
				}
				return m.Append(ctx, id, batch)
			}
			s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
				head, err := m.Load(ctx, id)
				if err == nil && head.State == nil {
					head.State = before
				}
				return head, err
			}
		}, caught: []string{"a history starts over whole"}},
		{name: "starts over wherever the head is", store: func(s *faulty, m *replay.Memory) {
			retrying(s, m, func(batch replay.Batch, conflict *replay.ConflictError) *replay.Batch {
				if !isOver(batch) || conflict.Reason == replay.ConflictRemoved || batch.Last().Epoch <= conflict.Head.Epoch {
					return nil
				}
				batch.Expect = conflict.Head
				return &batch
			})
		}, caught: []string{"a history starts over at its head and in a later epoch", "one of many starts over wins"}},
		{name: "starts over what is not there", store: func(s *faulty, m *replay.Memory) {
			retrying(s, m, func(batch replay.Batch, conflict *replay.ConflictError) *replay.Batch {
				if !isOver(batch) || conflict.Reason != replay.ConflictRemoved && !conflict.Head.IsZero() {
					return nil
				}
				batch.Expect = replay.Cursor{}
				return &batch
			})
		}, caught: []string{"a history starts over at its head and in a later epoch"}},
		{name: "compares the epochs of a start over as floating-point numbers", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if isOver(batch) && float64(batch.Last().Epoch) <= float64(batch.Expect.Epoch) {
					return replay.ErrInvalidBatch
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"the epochs of a start over are compared exactly", "a history starts over whole"}},
		{name: "compares the epochs of a start over as text", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if isOver(batch) && fmt.Sprint(batch.Last().Epoch) <= fmt.Sprint(batch.Expect.Epoch) {
					return replay.ErrInvalidBatch
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"the epochs of a start over are compared exactly"}},
		{name: "finds earlier keys in the epoch that there is", store: func(s *faulty, m *replay.Memory) {
			withEarlier(s, m, func(ever []replay.Entry, current replay.Cursor, key string) []replay.Entry {
				found := slices.Clone(carriers(ever, key))
				for i := range found {
					found[i].Cursor.Epoch = current.Epoch
				}
				return found[max(0, len(found)-1):]
			})
		}, caught: []string{"earlier keys are found in their own epoch or not at all"}},
		{name: "finds the keys of all earlier epochs", store: func(s *faulty, m *replay.Memory) {
			withEarlier(s, m, func(ever []replay.Entry, _ replay.Cursor, key string) []replay.Entry { return carriers(ever, key) })
		}, caught: []string{
			"earlier keys are found in their own epoch or not at all",
			"a batch may start a history over and end it",
			"a trimmed history starts over",
			"any sequence of operations does what the model does",
		}},
		{name: "finds earlier keys, but takes them for new", store: func(s *faulty, m *replay.Memory) {
			withEarlier(s, m, func(ever []replay.Entry, current replay.Cursor, key string) []replay.Entry {
				if current.IsZero() {
					return nil
				}
				found := carriers(ever, key)
				return found[max(0, len(found)-1):]
			})
		}, caught: []string{"earlier keys are found in their own epoch or not at all"}},
		{name: "does not find earlier keys, but knows them", store: func(s *faulty, m *replay.Memory) {
			remembering(s, m, func(id, key string) string { return id + "\x00\x00" + key })
		}, caught: []string{"earlier keys are found in their own epoch or not at all"}},
	}
}

func holdingFaults() []fault {
	return []fault{
		{name: "finds keys by the id and the key with a colon between", store: func(s *faulty, m *replay.Memory) {
			index := make(map[string]replay.Entry)
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, batch)
				for _, entry := range batch.Entries {
					if err == nil && entry.Key != "" {
						index[id+":"+entry.Key] = entry
					}
				}
				return err
			}
			s.onFind = func(_ context.Context, id string, keys []string) (found []replay.Entry, _ error) {
				slices.Sort(keys)
				for _, key := range slices.Compact(keys) {
					if entry, there := index[id+":"+key]; there {
						found = append(found, entry)
					}
				}
				return found, nil
			}
		}, caught: []string{"ids and keys are told apart"}},
		{name: "takes a hundred entries at once", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if len(batch.Entries) > 100 {
					return errors.New("too many")
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"a batch may be long", "a batch commits whole"}},
		{name: "hands out what it uses again", store: func(s *faulty, m *replay.Memory) {
			var out [][]byte
			reads(s, m, func(entries []replay.Entry) []replay.Entry {
				for i := range entries {
					entries[i].Data = bytes.Clone(entries[i].Data)
					out = append(out, entries[i].Data)
				}
				return entries
			})
			s.onClose = func() error {
				for _, data := range out {
					clear(data)
				}
				return m.Close()
			}
		}, caught: []string{"what was returned stays as it was"}},
		{name: "commits half a batch when its context ends", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if len(batch.Entries) < 2 || isOver(batch) {
					return m.Append(ctx, id, batch)
				}
				half := batch
				half.Entries = batch.Entries[:1]
				if err := m.Append(ctx, id, half); err != nil {
					return err
				}
				for i := 0; i < 1000 && ctx.Err() == nil; i++ {
					runtime.Gosched()
				}
				batch.Expect, batch.Entries = half.Last(), batch.Entries[1:]
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"a context that ends meanwhile leaves a whole batch or none"}},
		{name: "acknowledges when a context ends meanwhile", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				for i := 0; i < 1000 && ctx.Err() == nil; i++ {
					runtime.Gosched()
				}
				if ctx.Err() != nil {
					return nil
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"a context that ends meanwhile leaves a whole batch or none"}},
	}
}

package replaytest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/safe-go/safe/replay"
)

func idFaults() []fault {
	return []fault{
		{name: "leaves out an id", store: func(s *faulty, m *replay.Memory) {
			s.onIDs = func(ctx context.Context) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					first := true
					for id, err := range m.IDs(ctx) {
						if first {
							first = false
							continue
						}
						if !yield(id, err) {
							return
						}
					}
				}
			}
		}, caught: []string{"ids are complete", "the store may be used while ids are ranged over"}},
		{name: "yields ids twice", store: func(s *faulty, m *replay.Memory) {
			s.onIDs = func(ctx context.Context) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					for id, err := range m.IDs(ctx) {
						for range 2 {
							if !yield(id, err) {
								return
							}
						}
					}
				}
			}
		}, caught: []string{"ids are complete", "the store may be used while ids are ranged over"}},
		{name: "takes no batches while ids are ranged over", store: func(s *faulty, m *replay.Memory) {
			var ranging atomic.Int64
			s.onIDs = func(ctx context.Context) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					ranging.Add(1)
					defer ranging.Add(-1)
					m.IDs(ctx)(yield)
				}
			}
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if ranging.Load() > 0 {
					return replay.ErrUnavailable
				}
				return m.Append(ctx, id, batch)
			}
		}, caught: []string{"the store may be used while ids are ranged over"}},
		{name: "goes on after an error", store: func(s *faulty, m *replay.Memory) {
			s.onIDs = func(ctx context.Context) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					for id, err := range m.IDs(ctx) {
						if !yield(id, err) || err != nil && !yield(id, err) {
							return
						}
					}
				}
			}
		}, caught: []string{"an ended context changes nothing"}},
		{name: "confuses ids that differ in case", store: func(s *faulty, m *replay.Memory) {
			alias(s, m, strings.ToLower)
		}, caught: []string{"ids are any text", "any sequence of operations does what the model does"}},
		{name: "ends ids at a NUL", store: func(s *faulty, m *replay.Memory) {
			alias(s, m, untilNUL)
		}, caught: []string{"ids are any text"}},
		{name: "takes what is in braces for the id", store: func(s *faulty, m *replay.Memory) {
			alias(s, m, func(id string) string {
				if _, after, found := strings.Cut(id, "{"); found {
					if inner, _, found := strings.Cut(after, "}"); found && inner != "" {
						return inner
					}
				}
				return id
			})
		}, caught: []string{"ids are any text"}},
		{name: "confuses ids that begin alike", store: func(s *faulty, m *replay.Memory) {
			alias(s, m, func(id string) string { return id[:min(3, len(id))] })
		}, caught: []string{"different ids do not disturb each other", "ids are complete"}},
	}
}

func contentFaults() []fault {
	return []fault{
		{name: "makes data valid UTF-8", store: func(s *faulty, m *replay.Memory) {
			changeData(s, m, func(data []byte) []byte { return bytes.ToValidUTF8(data, []byte("\ufffd")) })
		}, caught: []string{"contents come back byte for byte"}},
		{name: "ends data at a NUL", store: func(s *faulty, m *replay.Memory) {
			changeData(s, m, func(data []byte) []byte { return []byte(untilNUL(string(data))) })
		}, caught: []string{"contents come back byte for byte"}},
		{name: "cuts data at 64 KiB", store: func(s *faulty, m *replay.Memory) {
			changeData(s, m, func(data []byte) []byte { return data[:min(len(data), 1<<16)] })
		}, caught: []string{"contents come back byte for byte"}},
		{name: "changes what it is given", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(ctx, id, edited(batch, func(e *replay.Entry) { e.Data = bytes.Clone(e.Data) }))
				for _, entry := range batch.Entries {
					clear(entry.Data)
				}
				return err
			}
		}, caught: []string{"contents come back byte for byte"}},
		{name: "loads the state before the newest", store: func(s *faulty, m *replay.Memory) {
			var mu sync.Mutex
			var at replay.Cursor
			var before, newest []byte
			s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
				mu.Lock()
				defer mu.Unlock()
				head, err := m.Load(ctx, id)
				if head.Cursor != at {
					at, before, newest = head.Cursor, newest, head.State
				}
				head.State = before
				return head, err
			}
		}, caught: []string{"a batch commits whole", "handles see each other's changes"}},
	}
}

func lifecycleFaults() []fault {
	return []fault{
		{name: "takes no notice of contexts", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				return m.Append(context.WithoutCancel(ctx), id, batch)
			}
			s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
				return m.Load(context.WithoutCancel(ctx), id)
			}
		}, caught: []string{"an ended context changes nothing"}},
		{name: "appends first and looks at the context then", store: func(s *faulty, m *replay.Memory) {
			s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				err := m.Append(context.WithoutCancel(ctx), id, batch)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return err
			}
		}, caught: []string{"an ended context changes nothing"}},
		{name: "answers when it is closed", store: func(s *faulty, m *replay.Memory) {
			s.onClose = func() error { return nil }
		}, caught: []string{"a closed store refuses everything"}},
		{name: "knows no histories when it is closed", store: func(s *faulty, m *replay.Memory) {
			s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
				head, err := m.Load(ctx, id)
				if errors.Is(err, replay.ErrClosed) {
					err = replay.ErrNotFound
				}
				return head, err
			}
		}, caught: []string{"a closed store refuses everything"}},
		{name: "cannot be closed twice", store: func(s *faulty, m *replay.Memory) {
			s.onClose = func() error {
				if _, err := m.Load(context.Background(), ""); errors.Is(err, replay.ErrClosed) {
					return err
				}
				return m.Close()
			}
		}, caught: []string{"a closed store refuses everything"}},
	}
}

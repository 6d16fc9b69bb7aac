package bolt_test

import (
	"context"
	"iter"

	"github.com/safe-go/safe/replay"
)

func (s shared) Load(ctx context.Context, id string) (replay.Head, error) {
	return s.file.store.Load().Load(ctx, id)
}

func (s shared) Append(ctx context.Context, id string, batch replay.Batch) error {
	return s.file.store.Load().Append(ctx, id, batch)
}

func (s shared) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	return s.file.store.Load().Read(ctx, id, after, limit)
}

func (s shared) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	return s.file.store.Load().Find(ctx, id, keys)
}

func (s shared) IDs(ctx context.Context) iter.Seq2[string, error] {
	return s.file.store.Load().IDs(ctx)
}

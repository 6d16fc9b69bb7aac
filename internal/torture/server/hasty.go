package main

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/safe-go/safe/replay"
)

// hasty is a store that says that it has taken a batch, and takes it later.
type hasty struct {
	store replay.Store
	late  chan late

	mu    sync.Mutex
	taken sync.Cond
	// waiting is the number of batches that were not taken yet.
	waiting int
}

type late struct {
	id    string
	batch replay.Batch
	due   time.Time
}

// delay is how much later.
const delay = 100 * time.Millisecond

func newHasty(store replay.Store) *hasty {
	h := &hasty{store: store, late: make(chan late, 4096)}
	h.taken.L = &h.mu
	go func() {
		for l := range h.late { // until the process ends
			time.Sleep(time.Until(l.due))
			_ = h.store.Append(context.Background(), l.id, l.batch)
			h.count(-1)
		}
	}()
	return h
}

func (h *hasty) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting += n
	h.taken.Broadcast()
}

// settle waits until everything was taken.
func (h *hasty) settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.waiting > 0 {
		h.taken.Wait()
	}
}

func (h *hasty) Append(_ context.Context, id string, batch replay.Batch) error {
	h.count(1)
	h.late <- late{id, batch, time.Now().Add(delay)}
	return nil
}

func (h *hasty) Load(ctx context.Context, id string) (replay.Head, error) {
	h.settle()
	return h.store.Load(ctx, id)
}

func (h *hasty) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	h.settle()
	return h.store.Read(ctx, id, after, limit)
}

func (h *hasty) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	h.settle()
	return h.store.Find(ctx, id, keys)
}

func (h *hasty) IDs(ctx context.Context) iter.Seq2[string, error] {
	h.settle()
	return h.store.IDs(ctx)
}

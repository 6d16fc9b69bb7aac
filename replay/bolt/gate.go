package bolt

import (
	"context"
	"fmt"
	"sync"
)

// gate holds readers back from what is not on the disk yet. bbolt shows a
// transaction to readers as soon as it is written, which is before it is
// synced: a power cut could take back what they have seen.
type gate struct {
	mu sync.Mutex
	// durable is the id of the newest transaction that is on the disk.
	durable int
	// over is closed when the commit that is under way ends; nil if none is.
	over chan struct{}
	// attempted is the id of the newest transaction that was to be committed.
	attempted int
}

// begin says that a transaction is going to be committed.
func (g *gate) begin(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempted, g.over = id, make(chan struct{})
}

// end says that the commit is over.
func (g *gate) end(committed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if committed {
		g.durable = g.attempted
	}
	close(g.over)
	g.over = nil
}

// settle says that the transaction is on the disk, whatever its commit said.
func (g *gate) settle(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.durable, g.attempted = id, id
}

func (g *gate) newest() (durable, attempted int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.durable, g.attempted
}

// wait waits until a transaction that a reader sees is on the disk. It fails
// with errUnsettled where its commit failed.
func (g *gate) wait(ctx context.Context, id int) error {
	for {
		g.mu.Lock()
		durable, attempted, over := g.durable, g.attempted, g.over
		g.mu.Unlock()
		switch {
		case id <= durable:
			return nil
		case id > attempted:
			return errChanged
		case over == nil:
			return fmt.Errorf("%w: transaction %d is there, %d is on the disk", errUnsettled, id, durable)
		}
		select {
		case <-over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

package torture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/sharedata"
)

// medium is what the servers keep their histories on.
type medium interface {
	// flag is the server's flag -store.
	flag(server int) string
	// line is the network between a server and the medium.
	line(server int) *proxy
	// cause makes a fault of the medium happen.
	cause(w *world, e event) error
	// losing is called before a server is ended, and what it returns after that.
	losing(w *world) (lost func())
	// history and snapshot are what the medium has of a ShareData.
	history(ctx context.Context, id string) ([]sharedata.Entry, error)
	snapshot(ctx context.Context, id string) (sharedata.Snapshot, error)
	// examine looks at what is left after all servers were killed.
	examine(w *world) error
	close() error
}

func openMedium(w *world) (medium, error) {
	switch w.options.Store {
	case StoreMemory:
		return &memory{local{w}}, nil
	case StoreBolt:
		return &boltFile{local{w}, filepath.Join(w.options.Dir, "histories.db")}, nil
	}
	return openRedis(w.options)
}

// local is a medium that belongs to the only server there is, which is asked for
// what it has.
type local struct{ world *world }

func (l local) line(int) *proxy { return nil }

func (l local) cause(_ *world, e event) error { return fmt.Errorf("there is no %q here", e.fault) }

func (l local) history(ctx context.Context, id string) ([]sharedata.Entry, error) {
	return l.world.admin.history(ctx, l.world.processes[0], id)
}

func (l local) snapshot(ctx context.Context, id string) (sharedata.Snapshot, error) {
	return l.world.admin.snapshot(ctx, l.world.processes[0], id)
}

// memory is lost with the server.
type memory struct{ local }

func (m *memory) flag(int) string { return "mem:" }

func (m *memory) losing(w *world) func() { return w.losing() }

func (m *memory) examine(*world) error { return nil }

func (m *memory) close() error { return nil }

// boltFile outlives its server.
type boltFile struct {
	local
	path string
}

func (b *boltFile) flag(int) string { return "bolt:" + b.path }

func (b *boltFile) losing(*world) func() { return func() {} }

func (b *boltFile) close() error { return nil }

// examine opens the file of a server that was killed once more.
func (b *boltFile) examine(w *world) error {
	if err := w.processes[0].kill(); err != nil {
		return err
	}
	store, err := bolt.Open(b.path, nil)
	if err != nil {
		return err
	}
	return errors.Join(examine(w, store), store.Close())
}

// examine holds what a store has against what the servers said in the end, and
// verifies it.
func examine(w *world, store replay.Store) error {
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store})
	if err != nil {
		return err
	}
	defer manager.Close()
	ctx, cancel := context.WithTimeout(w.ctx, w.options.Patience)
	defer cancel()
	for _, id := range w.ids {
		said := w.histories[id]
		if len(said) == 0 {
			continue // which was reported
		}
		chain, err := manager.VerifyHistory(ctx, id)
		if err != nil {
			return err
		}
		if newest := said[len(said)-1]; chain.Last != newest.Cursor || chain.Hash != newest.Hash {
			return fmt.Errorf("%s ends at %s, and the server said %s", id, chain.Last, newest.Cursor)
		}
	}
	return nil
}

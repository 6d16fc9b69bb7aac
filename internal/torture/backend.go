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

// backend is what the stores of the servers keep histories on.
type backend interface {
	// flag returns the value of a server's flag -store.
	flag(server int) string
	// proxy returns the proxy between a server and the backend; nil for none.
	proxy(server int) *proxy
	// inject injects a fault of the backend.
	inject(d *driver, e event) error
	// losing is called before a server is ended. What it returns is called after.
	losing(d *driver) (lost func())
	// history and snapshot read what the backend has of a ShareData.
	history(ctx context.Context, id string) ([]sharedata.Entry, error)
	snapshot(ctx context.Context, id string) (sharedata.Snapshot, error)
	// verifyStored verifies what is left after all servers were killed.
	verifyStored(d *driver) error
	close() error
}

func openBackend(d *driver) (backend, error) {
	switch d.options.Store {
	case StoreMemory:
		return local{d, ""}, nil
	case StoreBolt:
		return local{d, filepath.Join(d.options.Dir, "histories.db")}, nil
	}
	return openRedis(d.options)
}

// local is the backend of a single server: its memory or, where path is not empty,
// a file. It is read through the server.
type local struct {
	driver *driver
	path   string
}

func (l local) flag(int) string {
	if l.path == "" {
		return "mem:"
	}
	return "bolt:" + l.path
}

func (l local) proxy(int) *proxy { return nil }

func (l local) inject(_ *driver, e event) error { return fmt.Errorf("there is no %q here", e.fault) }

func (l local) losing(d *driver) func() {
	if l.path == "" {
		return d.losing()
	}
	return func() {}
}

func (l local) history(ctx context.Context, id string) ([]sharedata.Entry, error) {
	return l.driver.admin.history(ctx, l.driver.processes[0], id)
}

func (l local) snapshot(ctx context.Context, id string) (sharedata.Snapshot, error) {
	return l.driver.admin.snapshot(ctx, l.driver.processes[0], id)
}

// verifyStored kills the server and opens its file.
func (l local) verifyStored(d *driver) error {
	if l.path == "" {
		return nil
	}
	if err := d.processes[0].kill(); err != nil {
		return err
	}
	store, err := bolt.Open(l.path, nil)
	if err != nil {
		return err
	}
	return errors.Join(verifyStore(d, store), store.Close())
}

func (l local) close() error { return nil }

// verifyStore verifies the histories in a store, and that they end as the servers
// returned them at the end.
func verifyStore(d *driver, store replay.Store) error {
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store})
	if err != nil {
		return err
	}
	defer manager.Close()
	ctx, cancel := context.WithTimeout(d.ctx, d.options.QuiesceTimeout)
	defer cancel()
	for _, id := range d.ids {
		entries := d.histories[id]
		if len(entries) == 0 {
			continue // evaluate has reported it
		}
		chain, err := manager.VerifyHistory(ctx, id)
		if err != nil {
			return err
		}
		if newest := entries[len(entries)-1]; chain.Last != newest.Cursor || chain.Hash != newest.Hash {
			return fmt.Errorf("%s ends at %s in the store, and at %s in the server", id, chain.Last, newest.Cursor)
		}
	}
	return nil
}

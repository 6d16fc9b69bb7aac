package benchmarks

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/sharedata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type counter struct {
	Value int `json:"value"`
}

type addition struct {
	By int `json:"by"`
}

var counters = sharedata.NewKind("counter", sharedata.NewFunction("add", func(_ context.Context, c counter, in addition) (counter, error) {
	c.Value += in.By
	return c, nil
}))

// stores are the stores that are compared. bolt waits for the disk at every commit, as
// does Redis with appendfsync always; with everysec, as is usual, it syncs its
// append-only file once a second.
var stores = []struct {
	name string
	open func(b *testing.B) replay.Store
}{
	{"memory", func(b *testing.B) replay.Store {
		store, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: 20_000, MaxBytes: -1})
		if err != nil {
			b.Fatal(err)
		}
		return store
	}},
	{"bolt", func(b *testing.B) replay.Store {
		store, err := bolt.Open(filepath.Join(b.TempDir(), "histories.db"), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { mustClose(b, store) })
		return store
	}},
	{"redis", func(b *testing.B) replay.Store { return openRedis(b, "everysec") }},
	{"redis-always", func(b *testing.B) replay.Store { return openRedis(b, "always") }},
}

func openRedis(b *testing.B, fsync string) replay.Store {
	server := redistest.Start(b, &redistest.Options{Fsync: fsync})
	store, err := redis.New(server.Client(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { mustClose(b, store) })
	return store
}

func mustClose(b *testing.B, closer interface{ Close() error }) {
	if err := closer.Close(); err != nil {
		b.Error(err)
	}
}

func newManager(b *testing.B, store replay.Store, maxLoadedBytes int) *sharedata.Manager {
	manager, err := sharedata.NewManager(&sharedata.Options{
		Store: store, Kinds: []sharedata.Kind{counters}, MaxLoadedBytes: maxLoadedBytes,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { mustClose(b, manager) })
	return manager
}

func idOf(i int) string { return fmt.Sprint("counter-", i) }

// create creates n ShareData concurrently.
func create(b *testing.B, manager *sharedata.Manager, n int) {
	concurrently(b, n, func(i int) error {
		_, err := manager.CreateKind(b.Context(), idOf(i), "counter", counter{})
		return err
	})
}

// concurrently calls do n times, on many goroutines.
func concurrently(b *testing.B, n int, do func(i int) error) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range 256 {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// add makes n concurrent proposals to one ShareData.
func add(b *testing.B, manager *sharedata.Manager, id string, n int) {
	answered := make(chan error, n)
	for range n {
		manager.Submit(b.Context(), proposal(id), func(v sharedata.Verdict, err error) { answered <- proposeError(v, err) })
	}
	for range n {
		if err := <-answered; err != nil {
			b.Fatal(err)
		}
	}
}

func proposal(id string) sharedata.Proposal {
	return sharedata.Proposal{ShareDataID: id, FunctionID: "add", Data: addition{By: 1}}
}

func proposeError(v sharedata.Verdict, err error) error {
	if err == nil && !v.Accepted {
		err = fmt.Errorf("rejected: %s", v.Reason)
	}
	return err
}

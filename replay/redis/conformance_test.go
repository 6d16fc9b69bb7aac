package redis

import (
	"fmt"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/replaytest"
)

func TestConformance_Server(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, &redistest.Options{Fsync: "everysec"})
	conforms(t, func() goredis.UniversalClient { return server.Client() })
}

// A client may use the older protocol.
func TestConformance_RESP2(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, &redistest.Options{Fsync: "everysec"})
	conforms(t, func() goredis.UniversalClient {
		client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), Protocol: 2, ContextTimeoutEnabled: true})
		t.Cleanup(func() { _ = client.Close() })
		return client
	})
}

func TestConformance_Cluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, &redistest.Options{Fsync: "everysec"})
	conforms(t, func() goredis.UniversalClient { return cluster.Client() })
}

// conforms runs the suite. Each store has a client of its own, as in a process
// of its own, and each that begins empty has a prefix of its own.
func conforms(t *testing.T, client func() goredis.UniversalClient) {
	var prefixes atomic.Int64
	prefix := func() string { return fmt.Sprint("test *[?]\\ ", prefixes.Add(1), ":") }
	again := func(t testing.TB, store replay.Store) *Store {
		s := store.(*Store)
		return open(t, client(), &Options{Prefix: s.options.Prefix, MaxEntries: s.options.MaxEntries})
	}
	replaytest.Run(t, replaytest.Harness{
		Open: func(t testing.TB) replay.Store { return open(t, client(), &Options{Prefix: prefix()}) },
		OpenBounded: func(t testing.TB, entries int) replay.Store {
			return open(t, client(), &Options{Prefix: prefix(), MaxEntries: entries})
		},
		Reopen: func(t testing.TB, store replay.Store) replay.Store {
			if err := store.(*Store).Close(); err != nil {
				t.Fatal(err)
			}
			return again(t, store)
		},
		Second: func(t testing.TB, store replay.Store) replay.Store { return again(t, store) },
		Lose: func(t testing.TB, store replay.Store, id string) {
			k := store.(*Store).naming.keys(id)
			names := k.names()
			if err := client().Del(t.Context(), names[:]...).Err(); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// open returns a store that is closed with the test.
func open(t testing.TB, client goredis.UniversalClient, options *Options) *Store {
	t.Helper()
	s, err := New(client, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

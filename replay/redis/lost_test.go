package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// loadFails checks that Load and Read of a history fail with an error.
func loadFails(t testing.TB, s *Store, id string, want error) {
	t.Helper()
	_, errLoad := s.Load(t.Context(), id, replay.Cursor{})
	_, errRead := s.Read(t.Context(), id, at(0), 10)
	for call, err := range map[string]error{"Load": errLoad, "Read": errRead} {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", call, err, want)
		}
	}
}

// unfollowed waits until the server has no subscriber of the history.
func unfollowed(t testing.TB, client *goredis.Client, s *Store, id string) {
	t.Helper()
	channel := s.naming.keys(id).channel
	eventually(t, "the subscription to end", func() bool {
		plain, err := client.PubSubNumSub(t.Context(), channel).Result()
		if err != nil {
			return false
		}
		sharded, err := client.PubSubShardNumSub(t.Context(), channel).Result()
		return err == nil && plain[channel]+sharded[channel] == 0
	})
}

// A process that follows a history serves it from memory after a FLUSHALL. Others
// must not report that it does not exist.
func TestLoad_LostWhileFollowed(t *testing.T) {
	server := redistest.Start(t, nil)
	lostWhileFollowed(t, "id", server.Client(), func() *Store { return open(t, server.Client(), quiet()) })
}

func TestLoad_LostWhileFollowedInCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, nil)
	client := cluster.Client()
	s := open(t, client, quiet())
	for i, id := range spread(t, s, client, cluster) {
		lostWhileFollowed(t, id, cluster.Nodes[i].Client(), func() *Store { return open(t, cluster.Client(), quiet()) })
	}
}

func lostWhileFollowed(t *testing.T, id string, client *goredis.Client, open func() *Store) {
	a, b, c := open(), open(), open()
	put(t, a, id, start(firstEpoch, "a"))
	r := record(t, a, id)
	r.awaitStart(t)
	if _, err := b.Load(t.Context(), id, replay.Cursor{}); err != nil {
		t.Fatal(err)
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	loadFails(t, a, id, replay.ErrNotFound) // so it can restart the history
	// No check is due for an hour: only Load can have notified the follower.
	r.nilAfter(t, "another process has noticed the loss", func() { loadFails(t, b, id, replay.ErrUnavailable) })
	loadFails(t, c, id, replay.ErrUnavailable)
	if _, err := b.Load(t.Context(), id, replay.Cursor{}); !strings.Contains(err.Error(), "has followers in other processes (1)") {
		t.Errorf("the error does not say why: %v", err)
	}
	if found, err := b.Find(t.Context(), id, []string{"key"}); err != nil || found != nil {
		t.Errorf("Find: %v, %v; want none", found, err)
	}
	monitor := client.PSubscribe(t.Context(), "*") // follows nothing
	defer monitor.Close()
	if _, err := monitor.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	loadFails(t, b, "never existed "+id, replay.ErrNotFound)

	// The follower restarts it.
	head := put(t, a, id, start(firstEpoch+1, "restarted"))
	if loaded, err := b.Load(t.Context(), id, replay.Cursor{}); err != nil || loaded.Cursor != head {
		t.Fatalf("Load of the restarted history: %s, %v", loaded.Cursor, err)
	}

	// A removed history does not exist, although it is still followed.
	put(t, b, id, removing(next(head, "end")))
	loadFails(t, b, id, replay.ErrNotFound)
	loadFails(t, a, id, replay.ErrNotFound)

	// A later history was lost, not removed.
	put(t, b, id, start(firstEpoch+2, "again"))
	k := a.naming.keys(id)
	if err := client.Del(t.Context(), k.head, k.stream).Err(); err != nil {
		t.Fatal(err)
	}
	loadFails(t, b, id, replay.ErrUnavailable)

	// A second follower, with the first one gone.
	other := record(t, c, id)
	other.awaitStart(t)
	r.stop()
	loadFails(t, b, id, replay.ErrUnavailable)
	loadFails(t, c, id, replay.ErrNotFound)
	other.stop()
	unfollowed(t, client, c, id)
	loadFails(t, b, id, replay.ErrNotFound)
}

func TestLoad_LostAndFollowerClosed(t *testing.T) {
	server := redistest.Start(t, nil)
	a, b := open(t, server.Client(), quiet()), open(t, server.Client(), quiet())
	put(t, a, "id", start(firstEpoch, "a"))
	r := record(t, a, "id")
	r.awaitStart(t)
	server.Flush()
	loadFails(t, b, "id", replay.ErrUnavailable)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	unfollowed(t, server.Client(), b, "id")
	loadFails(t, b, "id", replay.ErrNotFound)
}

// After a server was restarted without its data, followers need a moment to
// subscribe again. Until then, a history without subscribers may be followed.
func TestLoad_UndecidedAfterRestart(t *testing.T) {
	server := redistest.Start(t, &redistest.Options{Fsync: "off"})
	p := newProxy(t, server.Addr())
	a, b := open(t, p.client(t, nil), quiet()), open(t, server.Client(), quiet())
	put(t, a, "id", start(firstEpoch, "a"))
	r := record(t, a, "id")
	r.awaitStart(t)
	if _, err := b.Load(t.Context(), "id", replay.Cursor{}); err != nil {
		t.Fatal(err)
	}
	p.swallow(true) // the follower stays away for a while
	server.Restart()
	loadFails(t, b, "id", replay.ErrUnavailable)
	r.nilAfter(t, "the server was restarted", func() { p.swallow(false); p.breakAll() })
	loadFails(t, b, "id", replay.ErrUnavailable)
	loadFails(t, a, "id", replay.ErrNotFound)
	head := put(t, a, "id", start(firstEpoch+1, "restarted"))
	if loaded, err := b.Load(t.Context(), "id", replay.Cursor{}); err != nil || loaded.Cursor != head {
		t.Errorf("Load of the restarted history: %s, %v", loaded.Cursor, err)
	}

	loadFails(t, b, "unknown", replay.ErrUnavailable)
	b.mu.Lock()
	b.restarted = time.Now().Add(-settleTime)
	b.mu.Unlock()
	loadFails(t, b, "unknown", replay.ErrNotFound)
	loadFails(t, open(t, server.Client(), nil), "unknown", replay.ErrNotFound)
}

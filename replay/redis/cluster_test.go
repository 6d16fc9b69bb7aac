package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// spread returns an id for each master of a cluster of three.
func spread(t testing.TB, s *Store, client *goredis.ClusterClient, cluster *redistest.Cluster) []string {
	t.Helper()
	addrs := cluster.Addrs()[:3]
	ids := make([]string, len(addrs))
	for i, missing := 0, len(ids); missing > 0; i++ {
		id := fmt.Sprint("id ", i)
		node, err := client.MasterForKey(t.Context(), s.naming.keys(id).head)
		if err != nil {
			t.Fatal(err)
		}
		if at := slices.Index(addrs, node.Options().Addr); at >= 0 && ids[at] == "" {
			ids[at] = id
			missing--
		}
	}
	return ids
}

// One of three masters is killed: the histories of the others can be used, and its
// own when it is restarted.
func TestCluster_OneMasterDown(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, &redistest.Options{Args: []string{"--cluster-require-full-coverage", "no"}})
	client := cluster.Client()
	s := open(t, client, impatient())
	ids := spread(t, s, client, cluster)
	heads, recorders := make([]replay.Cursor, len(ids)), make([]*recorder, len(ids))
	for i, id := range ids {
		heads[i] = put(t, s, id, start(firstEpoch, "a"))
		recorders[i] = record(t, s, id)
	}
	for _, r := range recorders {
		r.awaitStart(t)
	}
	const dead = 1
	cluster.Nodes[dead].Kill()
	if _, err := s.Load(t.Context(), ids[dead], replay.Cursor{}); !errors.Is(err, replay.ErrUnavailable) {
		t.Fatalf("Load from the dead master: %v", err)
	}
	failsFast(t, s, ids[dead])
	for range 20 {
		for i, id := range ids {
			if i != dead {
				batch := next(heads[i], "b")
				recorders[i].learnsOf(t, s, id, batch)
				heads[i] = batch.Last()
			}
		}
	}
	for _, err := range s.IDs(t.Context()) {
		if errors.Is(err, replay.ErrUnavailable) {
			break
		}
		if err != nil {
			t.Fatalf("IDs without one of the masters: %v", err)
		}
	}
	recorders[dead].nilAfter(t, "the master came back", func() {
		cluster.Nodes[dead].Restart()
		cluster.Await()
	})
	eventually(t, "the master to be used again", func() bool {
		_, err := s.Load(t.Context(), ids[dead], replay.Cursor{})
		return err == nil
	})
	for i, id := range ids {
		recorders[i].learnsOf(t, s, id, next(heads[i], "c"))
	}
}

func TestCluster_FailsFastAndRecovers(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 1, nil)
	s := open(t, cluster.Client(), impatient())
	head := put(t, s, "id", start(firstEpoch, "a"))
	r := record(t, s, "id")
	r.awaitStart(t)
	cluster.Nodes[0].Kill()
	failsSoon(t, s, "id")
	failsFast(t, s, "id")
	late := open(t, cluster.Client(), impatient()) // knows no master
	failsFast(t, late, "id")
	cluster.Nodes[0].Restart()
	cluster.Await()
	works(t, s)
	works(t, late)
	eventually(t, "the slot to be served", func() bool {
		err := s.Append(t.Context(), "other", removing(start(replay.NewEpoch(0), "a")))
		return err == nil
	})
	r.learnsOf(t, late, "id", next(head, "b"))
}

// Announcements stay within the shard.
func TestFollow_ShardedInCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, nil)
	client := cluster.Client()
	s := open(t, client, quiet())
	ids := spread(t, s, client, cluster)
	for i, id := range ids {
		r := record(t, s, id)
		r.awaitStart(t)
		node := cluster.Nodes[i].Client()
		channels, err := node.PubSubShardChannels(t.Context(), "*").Result()
		if err != nil || !slices.Equal(channels, []string{s.naming.keys(id).channel}) {
			t.Errorf("the server of %q has the channels %q, %v", id, channels, err)
		}
		r.stop()
		eventually(t, "the channel to be left", func() bool {
			channels, err := node.PubSubShardChannels(t.Context(), "*").Result()
			return err == nil && len(channels) == 0
		})
	}
}

func TestFollow_ThousandsInCluster(t *testing.T) {
	t.Parallel()
	const n = 3000
	cluster := redistest.StartCluster(t, 3, nil)
	s := open(t, cluster.Client(), quiet())
	recorders := make([]*recorder, n)
	for i := range recorders {
		recorders[i] = record(t, s, fmt.Sprint("id ", i))
	}
	for _, r := range recorders {
		r.awaitStart(t)
	}
	for i := 0; i < n; i += 300 {
		recorders[i].learnsOf(t, s, fmt.Sprint("id ", i), start(firstEpoch, "a"))
	}
}

// The slot of a history moves from one server to another while it is appended to and
// followed.
func TestCluster_SlotMoves(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, nil)
	client := cluster.Client()
	for name, options := range map[string]*Options{
		"":                  {CheckInterval: time.Hour},
		"with WaitReplicas": {CheckInterval: time.Hour, WaitReplicas: 1, WaitTimeout: time.Millisecond},
	} {
		s := open(t, client, options)
		id := spread(t, s, client, cluster)[0] + name
		if len(name) > 0 {
			id = spread(t, s, client, cluster)[1]
		}
		r := record(t, s, id)
		r.awaitStart(t)
		head := put(t, open(t, client, nil), id, start(firstEpoch, "a"))
		from, to := owner(t, s, cluster, id)
		// One that follows learns of it, and one that does not.
		apart := open(t, cluster.Client(), options)
		if _, err := apart.Load(t.Context(), id, replay.Cursor{}); err != nil {
			t.Fatal(err)
		}
		r.nilAfter(t, "the slot moved", func() { migrate(t, cluster.Client(), apart, id, from, to) })
		for i := range 20 {
			batch := next(head, fmt.Sprint(i))
			err := []*Store{apart, s}[i%2].Append(t.Context(), id, batch)
			if options.WaitReplicas > 0 {
				if !errors.Is(err, replay.ErrUnavailable) || !strings.Contains(err.Error(), "may have taken effect") {
					t.Fatalf("%s: Append without replicas: %v", name, err)
				}
			} else if err != nil {
				t.Fatalf("%s: Append after the slot has moved: %v", name, err)
			}
			head = batch.Last()
		}
		if got := datas(t, s, id, firstEpoch); len(got) != 21 {
			t.Errorf("%s: the history holds %q", name, got)
		}
		r.learnsOf(t, open(t, client, nil), id, next(head, "b"))
	}
}

// owner finds the server of a history, and another one.
func owner(t testing.TB, s *Store, cluster *redistest.Cluster, id string) (from, to *redistest.Server) {
	t.Helper()
	v, err := s.servers.of(t.Context(), s.naming.keys(id).head)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range cluster.Nodes {
		if node.Addr() == v.client.Options().Addr {
			from = node
		} else {
			to = node
		}
	}
	return from, to
}

// migrate moves the slot of a history.
func migrate(t testing.TB, client *goredis.ClusterClient, s *Store, id string, from, to *redistest.Server) {
	t.Helper()
	ctx := t.Context()
	head := s.naming.keys(id).head
	slot, err := client.ClusterKeySlot(ctx, head).Result()
	if err != nil {
		t.Fatal(err)
	}
	a, b := from.Client(), to.Client()
	name := func(node *goredis.Client) string {
		id, err := node.Do(ctx, "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	do := func(node *goredis.Client, args ...any) {
		t.Helper()
		if err := node.Do(ctx, args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	nameA, nameB := name(a), name(b)
	do(b, "cluster", "setslot", slot, "importing", nameA)
	do(a, "cluster", "setslot", slot, "migrating", nameB)
	// Meanwhile some of the keys are here and some are there.
	host, port := splitAddr(t, to.Addr())
	do(a, "migrate", host, port, head, 0, 5000)
	if err := s.Append(ctx, id, next(at(1), "lost")); !errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Append while the slot moves: %v; want ErrUnavailable", err)
	}
	keys, err := a.ClusterGetKeysInSlot(ctx, int(slot), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		do(a, "migrate", host, port, key, 0, 5000)
	}
	do(b, "cluster", "setslot", slot, "node", nameB)
	do(a, "cluster", "setslot", slot, "node", nameB)
	others := client.ForEachMaster(ctx, func(_ context.Context, node *goredis.Client) error {
		return node.Do(ctx, "cluster", "setslot", slot, "node", nameB).Err()
	})
	if others != nil {
		t.Fatal(others)
	}
}

func splitAddr(t testing.TB, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

func masters(s *Store) *cluster { return s.servers.(*cluster) }

// After a master was killed, its replica has its histories.
func TestCluster_ReplicaTakesOver(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, &redistest.Options{Replicas: 1})
	client := cluster.Client()
	s := open(t, client, impatient())
	id := spread(t, s, client, cluster)[2]
	head := put(t, s, id, start(firstEpoch, "a"))
	r := record(t, s, id)
	r.awaitStart(t)
	eventually(t, "the replica to have the history", func() bool {
		keys, err := cluster.Nodes[5].Client().DBSize(t.Context()).Result()
		return err == nil && keys > 0
	})
	r.nilAfter(t, "the failover", func() {
		cluster.Nodes[2].Kill()
		eventually(t, "the store to work with the replica", func() bool {
			err := s.Append(t.Context(), id, next(head, "b"))
			if err != nil && !errors.Is(err, replay.ErrUnavailable) {
				t.Fatalf("Append during the failover: %v", err)
			}
			return err == nil
		})
	})
	r.learnsOf(t, open(t, cluster.Client(), nil), id, next(head.Next(), "c"))
	if got := datas(t, s, id, firstEpoch); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("the history holds %q", got)
	}
	c := masters(s)
	eventually(t, "the dead master to be forgotten", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for client := range c.servers {
			if client.Options().Addr == cluster.Nodes[2].Addr() {
				return false
			}
		}
		return true
	})
}

package redis

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// replicated starts a master and a replica of it that is up to date, and that
// follows it through a proxy.
func replicated(t *testing.T) (master, replica *redistest.Server, between *proxy) {
	t.Helper()
	master = redistest.Start(t, nil)
	between = newProxy(t, master.Addr())
	host, port, err := net.SplitHostPort(between.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	replica = redistest.Start(t, &redistest.Options{Args: []string{"--replicaof", host + " " + port}})
	eventually(t, "the replica", func() bool {
		info, err := replica.Client().Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	return master, replica, between
}

func TestWaitReplicas(t *testing.T) {
	master, replica, _ := replicated(t)
	options := &Options{WaitReplicas: 1, WaitTimeout: 300 * time.Millisecond}
	p := newProxy(t, master.Addr())
	s, behind := open(t, p.client(t, nil), options), open(t, replica.Client(), nil)
	eventually(t, "the replica to count", func() bool {
		err := s.Append(t.Context(), "warm", removing(start(replay.NewEpoch(0), "a")))
		return err == nil
	})
	head := put(t, s, "id", start(firstEpoch, "a"))
	for range 20 {
		head = put(t, s, "id", next(head, "b"))
		if loaded, err := behind.Load(t.Context(), "id", replay.Cursor{}); err != nil || loaded.Cursor != head {
			t.Fatalf("after Append at %s the replica is at %s, %v", head, loaded.Cursor, err)
		}
	}
	conflict := conflictOf(t, s.Append(t.Context(), "id", next(at(1), "lost")))
	if conflict.Head != head || len(conflict.Missed) != int(head.Revision)-1 {
		t.Errorf("the head is %s and %d were missed", conflict.Head, len(conflict.Missed))
	}
	// Also when the first reply is lost.
	for _, marker := range []string{"evalsha", "wait"} {
		p.loseReplies(1, marker)
		head = put(t, s, "id", next(head, marker))
		if p.left() != 0 {
			t.Error("no reply was lost")
		}
		if got := datas(t, behind, "id", firstEpoch); got[len(got)-1] != marker || len(got) != int(head.Revision) {
			t.Errorf("the replica holds %q", got)
		}
	}

	replica.Pause()
	err := s.Append(t.Context(), "id", next(head, "alone"))
	if !errors.Is(err, replay.ErrUnavailable) || !strings.Contains(err.Error(), "may have taken effect") {
		t.Errorf("Append without a replica: %v", err)
	}
	// A refusal does not wait.
	conflict = conflictOf(t, s.Append(t.Context(), "id", next(at(1), "lost")))
	if conflict.Head != head.Next() {
		t.Errorf("the head is %s; want %s", conflict.Head, head.Next())
	}
	if s.servers.asOne().unreachable() != nil {
		t.Error("a server is taken to be unreachable because of its replicas")
	}
	if got := datas(t, s, "id", firstEpoch); got[len(got)-1] != "alone" {
		t.Errorf("the master holds %q", got)
	}
	replica.Resume()
	eventually(t, "an append that a replica has", func() bool {
		loaded, err := s.Load(t.Context(), "id", replay.Cursor{})
		if err != nil {
			return false
		}
		err = s.Append(t.Context(), "id", next(loaded.Cursor, "again"))
		return err == nil
	})
}

// A failover loses what the replica did not have: the history rolls back, and its
// followers are notified with nil.
func TestFollow_FailoverLosesEntries(t *testing.T) {
	master, replica, between := replicated(t)
	p := newProxy(t, master.Addr())
	s := open(t, p.client(t, nil), impatient())
	put(t, s, "id", start(firstEpoch, "a"))
	eventually(t, "the replica to have the history", func() bool {
		n, err := replica.Client().Exists(t.Context(), s.naming.keys("id").head).Result()
		return err == nil && n == 1
	})
	r := record(t, s, "id")
	r.awaitStart(t)
	between.abandon()
	head := put(t, s, "id", next(at(1), "lost"))
	r.nilAfter(t, "the failover", func() {
		master.Kill()
		if err := replica.Client().ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
			t.Fatal(err)
		}
		p.retarget(replica.Addr())
		p.breakAll()
	})
	works(t, s)
	conflict := conflictOf(t, s.Append(t.Context(), "id", next(head, "b")))
	if conflict.Head != at(1) || conflict.Reason == replay.ConflictRemoved {
		t.Fatalf("the head is %s, removed %t", conflict.Head, conflict.Reason == replay.ConflictRemoved)
	}
	over := numbered(at(1), replay.Cursor{Epoch: firstEpoch + 1}, "over")
	r.learnsOf(t, s, "id", over)
	if got := datas(t, s, "id", firstEpoch+1); !slices.Equal(got, []string{"over"}) {
		t.Errorf("the history holds %q", got)
	}
}

// After a master was killed, the store and its followers use its replica.
func TestSentinel_FailsOver(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t, nil)
	host, port := splitAddr(t, master.Addr())
	replica := redistest.Start(t, &redistest.Options{Args: []string{"--replicaof", host + " " + port}})
	sentinel := redistest.StartSentinel(t, master, nil)
	options := redistest.ClientOptions("")
	client := goredis.NewFailoverClient(&goredis.FailoverOptions{
		MasterName: redistest.SentinelName, SentinelAddrs: []string{sentinel.Addr()},
		DialTimeout: options.DialTimeout, ReadTimeout: options.ReadTimeout, ContextTimeoutEnabled: true,
	})
	defer client.Close()
	s := open(t, client, impatient())
	head := put(t, s, "id", start(firstEpoch, "a", "b"))
	r := record(t, s, "id")
	r.awaitStart(t)
	watcher := goredis.NewSentinelClient(redistest.ClientOptions(sentinel.Addr()))
	defer watcher.Close()
	eventually(t, "the Sentinel to know the replica, which is up to date", func() bool {
		replicas, err := watcher.Replicas(t.Context(), redistest.SentinelName).Result()
		if err != nil || len(replicas) != 1 || replicas[0]["master-link-status"] != "ok" {
			return false
		}
		n, err := replica.Client().Exists(t.Context(), s.naming.keys("id").head).Result()
		return err == nil && n == 1
	})
	r.nilAfter(t, "the failover", func() {
		master.Kill()
		failsSoon(t, s, "id")
		eventually(t, "the store to work with the replica", func() bool {
			err := s.Append(t.Context(), "id", next(head, "c"))
			if err != nil && !errors.Is(err, replay.ErrUnavailable) {
				t.Fatalf("Append during the failover: %v", err)
			}
			return err == nil
		})
	})
	r.learnsOf(t, s, "id", next(head.Next(), "d"))
	if got := strings.Join(datas(t, s, "id", firstEpoch), ""); got != "abcd" {
		t.Errorf("the history holds %q", got)
	}

	wrong := open(t, sentinel.Client(), nil)
	_, err := wrong.Load(t.Context(), "id", replay.Cursor{})
	refuses(t, err, "NewFailoverClient")
}

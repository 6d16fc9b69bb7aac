package redis

import (
	"errors"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// TestASentinelFailsOver kills a master: the store and whoever follows go on
// with its replica.
func TestASentinelFailsOver(t *testing.T) {
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
	e := listen(t, s, "id")
	e.begins(t)
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
	e.looksAfter(t, "the failover", func() {
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
	e.learns(t, s, "id", next(head.Next(), "d"))
	if got := strings.Join(datas(t, s, "id", firstEpoch), ""); got != "abcd" {
		t.Errorf("the history holds %q", got)
	}

	wrong := open(t, sentinel.Client(), nil)
	_, err := wrong.Load(t.Context(), "id")
	refuses(t, err, "NewFailoverClient")
}

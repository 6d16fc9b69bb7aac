package redis

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// transactions returns a batch of n transactions of about 550 bytes each after a head,
// with idempotency keys.
func transactions(head replay.Cursor, n int) replay.Batch {
	batch := next(head, make([]string, n)...)
	for i := range batch.Entries {
		batch.Entries[i].Key, batch.Entries[i].Data = rand.Text(), make([]byte, 550)
		_, _ = rand.Read(batch.Entries[i].Data)
	}
	return batch
}

// grown appends transactions to a history whose state has that many bytes: batches of
// n until there are total ones, with a snapshot as soon as the transactions since the
// last one are as large as the state. It returns the new head.
func grown(t testing.TB, s *Store, id string, head replay.Cursor, state []byte, n, total int) replay.Cursor {
	t.Helper()
	for since := 0; total > 0; total -= n {
		batch := transactions(head, n)
		if since += n * 550; since >= len(state) {
			batch.Snapshot, since = state, 0
		}
		head = put(t, s, id, batch)
	}
	return head
}

// BenchmarkAppend_StateSize appends the same transactions to histories whose states have
// 128 bytes and 256 KiB, in turn, and reports how many times as long the second takes.
func BenchmarkAppend_StateSize(b *testing.B) {
	const total = 1920 // four snapshots of the large state
	for _, entries := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", entries), func(b *testing.B) {
			s := benchmarked(b)
			states := [2][]byte{make([]byte, 128), make([]byte, 256<<10)}
			var heads [2]replay.Cursor
			var took [2]time.Duration
			for i, state := range states {
				batch := start(firstEpoch, "created")
				batch.Snapshot = state
				heads[i] = put(b, s, fmt.Sprint(i), batch)
			}
			for b.Loop() {
				for i, state := range states {
					begun := time.Now()
					heads[i] = grown(b, s, fmt.Sprint(i), heads[i], state, entries, total)
					took[i] += time.Since(begun)
				}
			}
			for i, name := range []string{"ns/entry-128B", "ns/entry-256KiB"} {
				b.ReportMetric(float64(took[i].Nanoseconds())/float64(b.N*total), name)
			}
			b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
		})
	}
}

// A thousand small changes of a large state take the memory of the changes.
func TestMemory_SmallChanges(t *testing.T) {
	client := redistest.Start(t, &redistest.Options{Fsync: "no"}).Client()
	s := open(t, client, nil)
	state := make([]byte, 256<<10)
	batch := start(firstEpoch, "created")
	batch.Snapshot = state
	head := put(t, s, "id", batch)
	before := usedMemory(t, client)
	grown(t, s, "id", head, state, 1, 1000)
	var growth int
	// What the server allocates for connections comes and goes.
	eventually(t, "the memory to be at most 1.5 MiB more", func() bool {
		growth = usedMemory(t, client) - before
		return growth <= 3<<19
	})
	t.Logf("1,000 changes of %d bytes take %d bytes of memory", 550, growth)
}

func usedMemory(t testing.TB, client *goredis.Client) (bytes int) {
	t.Helper()
	info, err := client.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, used, _ := strings.Cut(info, "used_memory:")
	if _, err := fmt.Sscan(used, &bytes); err != nil {
		t.Fatal(err)
	}
	return bytes
}

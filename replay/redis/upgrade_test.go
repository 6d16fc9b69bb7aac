package redis

import (
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// earlierScripts are those of the release that kept the state after each entry.
//
//go:embed testdata/release-before
var earlierScripts embed.FS

// earlier does what a process of that release does: it runs its scripts.
type earlier struct {
	*Store
	appends, loads, reads, finds *script
}

func openEarlier(t testing.TB, client goredis.UniversalClient, options *Options) *earlier {
	of := func(names ...string) *script {
		var source strings.Builder
		for _, name := range names {
			part, err := earlierScripts.ReadFile("testdata/release-before/" + name + ".lua")
			if err != nil {
				t.Fatal(err)
			}
			source.Write(part)
		}
		return newScript(source.String())
	}
	return &earlier{
		Store:   open(t, client, options),
		appends: of("history", "entries", "reservation", "append"),
		loads:   of("history", "missing", "load"),
		reads:   of("history", "entries", "missing", "read"),
		finds:   of("history", "entries", "find"),
	}
}

func (e *earlier) run(t testing.TB, script *script, args ...any) []any {
	t.Helper()
	k := e.naming.keys("id")
	result, err := e.eval(t.Context(), &call{script: script, keys: &k, args: args})
	if err != nil {
		t.Fatal(err)
	}
	return result.([]any)
}

// append appends a batch whose entries have these states, empty for none. It returns
// the code of the reply.
func (e *earlier) append(t testing.TB, batch replay.Batch, states ...string) string {
	t.Helper()
	k := e.naming.keys("id")
	args := e.appendArguments(&k, &batch, rand.Text())[:18]
	args[12] = "" // the announcement
	for i, entry := range batch.Entries {
		args = append(args, entry.Cursor.String(), entry.Key, entry.Data, slices.Concat(states, make([]string, len(batch.Entries)))[i])
	}
	return codeOf(e.run(t, e.appends, args...))
}

// put appends a batch, which must succeed, and returns the head.
func (e *earlier) put(t testing.TB, batch replay.Batch, states ...string) replay.Cursor {
	t.Helper()
	if code := e.append(t, batch, states...); code != codeCommitted {
		t.Fatalf("the earlier release appends at %s: %s", batch.Expect, code)
	}
	return batch.Last()
}

func (e *earlier) load(t testing.TB) []any {
	t.Helper()
	return e.run(t, e.loads, e.publish, e.naming.keys("id").channel)
}

func (e *earlier) read(t testing.TB, epoch uint64) []any {
	t.Helper()
	return e.run(t, e.reads, e.publish, e.naming.keys("id").channel, fmt.Sprint(epoch), "-", 10_000, 1<<30)
}

// refuses checks that the earlier release reports damage and changes nothing.
func (e *earlier) refuses(t testing.TB, client *goredis.Client, head replay.Cursor) {
	t.Helper()
	before := dump(t, client)
	for call, code := range map[string]string{
		"an append":   e.append(t, next(head, "lost"), "lost"),
		"a start":     e.append(t, start(head.Epoch+1, "lost"), "lost"),
		"a restart":   e.append(t, numbered(head, replay.Cursor{Epoch: head.Epoch + 1}, "lost"), "lost"),
		"a removal":   e.append(t, removing(next(head, "lost"))),
		"an old head": e.append(t, next(at(1), "lost"), "lost"),
		"Load":        codeOf(e.load(t)),
		"Read":        codeOf(e.read(t, head.Epoch)),
		"Find":        codeOf(e.run(t, e.finds, maxReplyBytes, "key")),
	} {
		if code != codeDamaged {
			t.Errorf("the earlier release replies to %s: %s; want damaged", call, code)
		}
	}
	if after := dump(t, client); after != before {
		t.Errorf("the earlier release changed %s to %s", before, after)
	}
}

// earlierHistories write a history with the earlier release and return its head.
var earlierHistories = map[string]func(t testing.TB, e *earlier) replay.Cursor{
	"one entry": func(t testing.TB, e *earlier) replay.Cursor {
		return e.put(t, keyed(start(firstEpoch, "created"), "key"), "state 1")
	},
	"the newest entries are rejections": func(t testing.TB, e *earlier) replay.Cursor {
		head := e.put(t, keyed(start(firstEpoch, "created", "changed"), "", "key"), "state 1", "state 2")
		return e.put(t, keyed(next(head, "rejected", "rejected too"), "other", "key"))
	},
	"trimmed": func(t testing.TB, e *earlier) replay.Cursor {
		head := e.put(t, start(firstEpoch, "created"), "state 1")
		for i := range 3 * slack {
			batch := keyed(next(head, "changed"), fmt.Sprint("key ", i))
			batch.Meta = []byte("meta")
			head = e.put(t, batch, fmt.Sprint("state of ", i))
		}
		if len(e.read(t, firstEpoch)[3].([]any)) >= int(head.Revision) {
			t.Fatal("nothing was trimmed")
		}
		return head
	},
	"restarted": func(t testing.TB, e *earlier) replay.Cursor {
		head := e.put(t, keyed(start(firstEpoch, "a", "b", "c"), "key", "other"), "state a", "state b")
		head = e.put(t, numbered(head, replay.Cursor{Epoch: firstEpoch + 1}, "d"), "state d")
		return e.put(t, keyed(next(head, "e"), "key"))
	},
	"created after a removal": func(t testing.TB, e *earlier) replay.Cursor {
		head := e.put(t, start(firstEpoch, "a"), "state a")
		e.put(t, removing(next(head, "b")))
		return e.put(t, keyed(start(firstEpoch+1, "c"), "key"), "state c")
	},
	"reserved": func(t testing.TB, e *earlier) replay.Cursor {
		head := e.put(t, keyed(start(firstEpoch, "a", "b"), "key"), "state a")
		late := next(at(1), "late")
		late.Reserve = 50 * time.Millisecond
		if code := e.append(t, late); code != codeMoved {
			t.Fatalf("a late batch gets the reply %s", code)
		}
		return head
	},
	"large states": func(t testing.TB, e *earlier) replay.Cursor {
		head := e.put(t, keyed(start(firstEpoch, "a"), "key"), strings.Repeat("0", 300_000))
		for i := range 9 {
			head = e.put(t, next(head, "b"), strings.Repeat(fmt.Sprint(i+1), 300_000))
		}
		return head
	},
	"without a state": func(t testing.TB, e *earlier) replay.Cursor {
		return e.put(t, keyed(start(firstEpoch, "a", "b"), "key"))
	},
}

// firstAppends are the first batches of this release, by what they do.
func firstAppends(head replay.Cursor) map[string]replay.Batch {
	return map[string]replay.Batch{
		"without a snapshot": keyed(next(head, "x", "y"), "new"),
		"with a snapshot":    withSnapshot(keyed(next(head, "x", "y"), "new")),
		"that restarts":      numbered(head, replay.Cursor{Epoch: head.Epoch + 1}, "x", "y"),
		"that removes":       removing(next(head, "x")),
	}
}

// Histories of the earlier release are read as they are, and brought forward by the
// first append.
func TestUpgrade_BroughtForward(t *testing.T) {
	client := redistest.Start(t, &redistest.Options{Fsync: "no"}).Client()
	e := openEarlier(t, client, &Options{MaxEntries: slack / 2})
	s, small := open(t, client, nil), open(t, client, &Options{MaxBytes: 1})
	for name, write := range earlierHistories {
		for first := range firstAppends(at(1)) {
			t.Run(name+", append "+first, func(t *testing.T) {
				if err := client.FlushDB(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				head := write(t, e)
				want := readsAsBefore(t, s, e, client, head)
				batch := firstAppends(head)[first]
				eventually(t, "the end of a reservation", func() bool {
					err := s.Append(t.Context(), "id", batch)
					if err != nil && conflictOf(t, err).Reason != replay.ConflictReserved {
						t.Fatal(err)
					}
					return err == nil
				})
				head = batch.Last()
				if batch.Remove {
					if err := loadError(t, s, "id"); !errors.Is(err, replay.ErrNotFound) {
						t.Errorf("Load of what was removed: %v", err)
					}
					return
				}
				e.refuses(t, client, head)
				if batch.Starts() {
					want = replay.Head{Oldest: 1}
				}
				want.Cursor, want.Meta = head, nil
				if batch.Snapshot != nil {
					want.Snapshot, want.SnapshotRevision = batch.Snapshot, head.Revision
				}
				loads(t, s, replay.Cursor{}, want)
				entries, err := s.Read(t.Context(), "id", replay.Cursor{Epoch: head.Epoch, Revision: want.Oldest - 1}, 1000)
				if err != nil || uint64(len(entries)) != head.Revision-want.Oldest+1 {
					t.Errorf("%d entries are read, %v; want those from %d to %s", len(entries), err, want.Oldest, head)
				}
				countsAll(t, s, client)

				// The entries of the earlier release are trimmed like others.
				for range 3 {
					head = put(t, small, "id", withSnapshot(next(head, "z")))
					countsAll(t, s, client)
				}
				if oldest := oldestOf(t, s, "id"); oldest != head.Revision {
					t.Errorf("oldest is %d; want %d", oldest, head.Revision)
				}
			})
		}
	}
}

// loads checks what Load returns to one who has the state at a position.
func loads(t testing.TB, s *Store, have replay.Cursor, want replay.Head) {
	t.Helper()
	if got, err := s.Load(t.Context(), "id", have); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Load of one who has the state at %s: %.300v, %v; want %.300v", have, got, err, want)
	}
}

// readsAsBefore checks that a history reads as in the earlier release, and is not
// changed by that. It returns the head.
func readsAsBefore(t testing.TB, s *Store, e *earlier, client *goredis.Client, head replay.Cursor) replay.Head {
	t.Helper()
	before := dump(t, client)
	_, r, err := headOf("id", e.load(t))
	if err != nil {
		t.Fatal(err)
	}
	items := e.read(t, head.Epoch)[3].([]any)
	want := replay.Head{Cursor: head, SnapshotRevision: head.Revision}
	want.Oldest = head.Revision + 1 - min(uint64(len(items)), head.Revision)
	want.Snapshot, want.Meta = r.bytes(), r.bytes()
	loads(t, s, replay.Cursor{}, want)
	loads(t, s, replay.Cursor{Epoch: head.Epoch, Revision: head.Revision - 1}, want)
	loads(t, s, head.Next(), want)
	without := want
	without.Snapshot = nil
	loads(t, s, head, without)

	var all []replay.Entry
	for _, item := range items {
		parts := &reply{items: item.([]any)}
		if cursor := parts.cursor(); cursor.Epoch == head.Epoch {
			all = append(all, replay.Entry{Cursor: cursor, Data: parts.bytes(), Key: parts.text()})
		}
	}
	entries, err := s.Read(t.Context(), "id", replay.Cursor{Epoch: head.Epoch, Revision: want.Oldest - 1}, 1000)
	if err != nil || !reflect.DeepEqual(entries, all) {
		t.Errorf("Read: %d entries, %v; want the %d of the earlier release", len(entries), err, len(all))
	}
	found, err := s.Find(t.Context(), "id", []string{"key", "other", "absent"})
	earlier := e.run(t, e.finds, maxReplyBytes, "key", "other", "absent")[4].([]any)
	if err != nil || len(found) != len(earlier) {
		t.Errorf("Find: %d entries, %v; want the %d of the earlier release", len(found), err, len(earlier))
	}
	if after := dump(t, client); after != before {
		t.Errorf("reading changed %s to %s", before, after)
	}
	return want
}

// countsAll checks that the head has the parts of this release alone, and counts what
// there is.
func countsAll(t testing.TB, s *Store, client *goredis.Client) {
	t.Helper()
	k := s.naming.keys("id")
	fields, err := client.HGetAll(t.Context(), k.head).Result()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := client.XRange(t.Context(), k.stream, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, entry := range entries {
		size += 128
		for _, part := range []string{"d", "k", "s"} {
			text, _ := entry.Values[part].(string)
			size += len(text)
		}
	}
	if fields["e"] != fmt.Sprint(len(entries)) || fields["y"] != fmt.Sprint(size) {
		t.Errorf("the head counts %s entries and %s bytes; want %d and %d", fields["e"], fields["y"], len(entries), size)
	}
	for part := range fields {
		if !slices.Contains([]string{"c", "t", "m", "e", "n", "y", "g", "p", "z"}, part) {
			t.Errorf("the head has %s", part)
		}
	}
}

// Processes of both releases append in turn. Once this release has appended, the
// earlier one is refused, and nothing is lost.
func TestUpgrade_AppendInTurn(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	e, s := openEarlier(t, client, nil), open(t, client, nil)
	r := record(t, s, "id")
	r.awaitStart(t)
	head := e.put(t, keyed(start(firstEpoch, "a", "b"), "key a"), "state a", "state b")
	conflict := conflictOf(t, s.Append(t.Context(), "id", withSnapshot(next(at(1), "lost"))))
	if len(conflict.Missed) != 1 || string(conflict.Missed[0].Data) != "b" {
		t.Errorf("missed is %+v; want b", conflict.Missed)
	}
	again := keyed(next(head, "lost"), "key a")
	again.NewKeys = true
	if conflict := conflictOf(t, s.Append(t.Context(), "id", again)); len(conflict.Known) != 1 || string(conflict.Known[0].Data) != "a" {
		t.Errorf("known is %+v; want a", conflict.Known)
	}
	head = e.put(t, next(head, "c"), "state c")
	head = put(t, s, "id", next(head, "d", "e"))
	e.refuses(t, client, head)
	eventually(t, "an announcement", func() bool { return r.received(head) })
	head = put(t, s, "id", withSnapshot(next(head, "f")))
	e.refuses(t, client, head)
	if got := datas(t, s, "id", firstEpoch); !slices.Equal(got, []string{"a", "b", "c", "d", "e", "f"}) {
		t.Errorf("the history holds %q", got)
	}

	// Where there is no history, the earlier release may start one.
	put(t, s, "id", removing(next(head, "end")))
	head = e.put(t, start(firstEpoch+1, "g"), "state g")
	loads(t, s, replay.Cursor{}, replay.Head{Cursor: head, Oldest: 1, Snapshot: []byte("state g"), SnapshotRevision: 1})
	put(t, s, "id", next(head, "h"))
	e.refuses(t, client, head.Next())
}

// A history of the earlier release that lost a part is not brought forward.
func TestUpgrade_DamageNoticed(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	e, s := openEarlier(t, client, nil), open(t, client, nil)
	k := s.naming.keys("id")
	for name, damage := range map[string][]any{
		"the stream evicted":      {"del", k.stream},
		"the index evicted":       {"del", k.index},
		"an entry deleted":        {"xdel", k.stream, at(1).String()},
		"the head without length": {"hdel", k.head, "l"},
		"the head without size":   {"hdel", k.head, "y"},
		"a foreign length":        {"hset", k.head, "l", "many"},
		"a foreign position":      {"hset", k.head, "c", "foreign"},
	} {
		if err := client.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		head := e.put(t, keyed(start(firstEpoch, "a", "b"), "key"), "state")
		if err := client.Do(t.Context(), damage...).Err(); err != nil {
			t.Fatal(err)
		}
		before := dump(t, client)
		if err := loadError(t, s, "id"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: Load: %v; want ErrDamaged", name, err)
		}
		if err := s.Append(t.Context(), "id", next(head, "lost")); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: Append: %v; want ErrDamaged", name, err)
		}
		if after := dump(t, client); after != before {
			t.Errorf("%s: what is left was changed from %s to %s", name, before, after)
		}
	}
}

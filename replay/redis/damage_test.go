package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// Parts of a history are evicted, deleted and overwritten. Nothing may be read from
// what is left, or appended to it.
func TestDamage_PartOfHistory(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, nil)
	ctx := t.Context()
	k := s.naming.keys("id")
	do := func(args ...any) func() error {
		return func() error { return client.Do(ctx, args...).Err() }
	}
	both := func(a, b func() error) func() error {
		return func() error { return errors.Join(a(), b()) }
	}
	type damage struct {
		name   string
		happen func() error
	}
	damages := []damage{
		{"the head evicted", do("del", k.head)},
		{"the stream evicted", do("del", k.stream)},
		{"the index evicted", do("del", k.index)},
		{"the head and the index evicted", do("del", k.head, k.index)},
		{"an entry deleted", do("xdel", k.stream, at(2).String())},
		{"the newest entry deleted", do("xdel", k.stream, at(3).String())},
		{"an entry added", do("xadd", k.stream, at(4).String(), "d", "foreign")},
		{"a key forgotten", do("hdel", k.index, "key a")},
		{"a key added", do("hset", k.index, "key b", at(2).String())},
		{"the head a text", do("set", k.head, "foreign")},
		{"the stream a text", do("set", k.stream, "foreign")},
		{"the index a text", do("set", k.index, "foreign")},
		{"the head without a position", do("hdel", k.head, "c")},
		{"the head without its length", do("hdel", k.head, "e")},
		{"the head without its size", do("hdel", k.head, "y")},
		{"the head with a foreign position", do("hset", k.head, "c", "foreign")},
		{"the head at revision 0", do("hset", k.head, "c", "5-0")},
		{"the head with a foreign length", do("hset", k.head, "e", "many")},
		{"the head with the length of earlier releases", both(do("hdel", k.head, "e"), do("hset", k.head, "l", 2))},
		{"the head without the position of its snapshot", do("hdel", k.head, "p")},
		{"a snapshot after the head", do("hset", k.head, "p", at(4).String())},
		{"a snapshot of another epoch", do("hset", k.head, "p", replay.Cursor{Epoch: firstEpoch - 1, Revision: 2}.String())},
		{"a snapshot of a near epoch", do("hset", k.head, "p", replay.Cursor{Epoch: firstEpoch + 1, Revision: 2}.String())},
		{"a foreign position of the snapshot", do("hset", k.head, "p", "foreign")},
		{"an entry after the snapshot trimmed", both(do("xtrim", k.stream, "maxlen", 1), do("hset", k.head, "e", 1, "p", at(1).String()))},
	}
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			if err := client.FlushDB(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			put(t, s, "id", keyed(start(firstEpoch, "a", "b", "c"), "key a", "", "key c"))
			if err := damage.happen(); err != nil {
				t.Fatal(err)
			}
			before := dump(t, client)
			_, errLoad := s.Load(ctx, "id", replay.Cursor{})
			_, errRead := s.Read(ctx, "id", at(0), 10)
			_, errFind := s.Find(ctx, "id", []string{"key a", "key c"})
			errNext := s.Append(ctx, "id", next(at(3), "lost"))
			errStart := s.Append(ctx, "id", start(firstEpoch+1, "lost"))
			errRemove := s.Append(ctx, "id", removing(next(at(3), "lost")))
			for call, err := range map[string]error{
				"Load": errLoad, "Read": errRead, "Find": errFind,
				"Append": errNext, "Append that starts": errStart, "Append that removes": errRemove,
			} {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("%s: %v; want ErrDamaged", call, err)
				}
			}
			if after := dump(t, client); after != before {
				t.Errorf("what is left was changed from %s to %s", before, after)
			}
		})
	}

	t.Run("the snapshot deleted", func(t *testing.T) {
		if err := client.FlushDB(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		head := put(t, s, "id", start(firstEpoch, "a", "b"))
		if err := client.HDel(ctx, k.head, "z").Err(); err != nil {
			t.Fatal(err)
		}
		for _, have := range []replay.Cursor{{}, at(1), at(3)} {
			if loaded, err := s.Load(ctx, "id", have); !errors.Is(err, ErrDamaged) {
				t.Errorf("Load of one who has the state at %s: %+v, %v; want ErrDamaged", have, loaded, err)
			}
		}
		put(t, s, "id", withSnapshot(next(head, "c")))
		if err := loadError(t, s, "id"); err != nil {
			t.Errorf("Load with another snapshot: %v", err)
		}
	})

	// These are only noticed by calls that read the place.
	for _, damage := range []damage{
		{"an entry of another", both(do("xdel", k.stream, at(3).String()), do("xadd", k.stream, at(4).String(), "foreign", "x"))},
		{"an entry in the place of another", both(do("del", k.stream), func() error {
			for i := range uint64(3) {
				if err := client.Do(ctx, "xadd", k.stream, at(5+i).String(), "d", "", "a", "1", "k", "", "t", "").Err(); err != nil {
					return err
				}
			}
			return nil
		})},
	} {
		t.Run(damage.name, func(t *testing.T) {
			if err := client.FlushDB(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			put(t, s, "id", keyed(start(firstEpoch, "a", "b", "c"), "key a", "", "key c"))
			if err := damage.happen(); err != nil {
				t.Fatal(err)
			}
			if entries, err := s.Read(ctx, "id", at(0), 10); !errors.Is(err, ErrDamaged) {
				t.Errorf("Read: %d entries, %v; want ErrDamaged", len(entries), err)
			}
			if entries, err := s.Find(ctx, "id", []string{"key c"}); !errors.Is(err, ErrDamaged) {
				t.Errorf("Find: %d entries, %v; want ErrDamaged", len(entries), err)
			}
			before := dump(t, client)
			if err := s.Append(ctx, "id", next(at(3), "lost")); !errors.Is(err, ErrDamaged) {
				t.Errorf("Append: %v; want ErrDamaged", err)
			}
			if after := dump(t, client); after != before {
				t.Errorf("what is left was changed from %s to %s", before, after)
			}
		})
	}
}

// dump is all that the database holds.
func dump(t testing.TB, client *goredis.Client) string {
	t.Helper()
	all := make(map[string]string)
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		value, err := client.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[key] = value
	}
	return fmt.Sprintf("%q", all)
}

func TestDamage_Tombstone(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, nil)
	tombstone := s.naming.keys("id").tombstone
	if err := client.Set(t.Context(), tombstone, "foreign", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), "id", start(firstEpoch, "a")); !errors.Is(err, ErrDamaged) {
		t.Errorf("Append that starts: %v; want ErrDamaged", err)
	}
	if err := client.Del(t.Context(), tombstone).Err(); err != nil {
		t.Fatal(err)
	}
	put(t, s, "id", start(firstEpoch, "a"))
	if err := client.Set(t.Context(), tombstone, "foreign", 0).Err(); err != nil {
		t.Fatal(err)
	}
	before := dump(t, client)
	if err := s.Append(t.Context(), "id", removing(next(at(1), "b"))); !errors.Is(err, ErrDamaged) {
		t.Errorf("Append that removes: %v; want ErrDamaged", err)
	}
	if after := dump(t, client); after != before {
		t.Errorf("a refused removal changed %s to %s", before, after)
	}

	if err := client.Del(t.Context(), tombstone).Err(); err != nil {
		t.Fatal(err)
	}
	put(t, s, "id", removing(next(at(1), "b")))
	if err := client.HSet(t.Context(), tombstone, "c", "foreign").Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), "id", next(at(1), "c")); !errors.Is(err, ErrDamaged) {
		t.Errorf("Append after a foreign tombstone: %v; want ErrDamaged", err)
	}
}

// SCAN may return a key twice, and two servers may have it while its slot moves.
func TestIDs_YieldedOnce(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), nil)
	for i := range 10 {
		put(t, s, fmt.Sprint("id ", i), start(firstEpoch, "a"))
	}
	s.servers = twice{s.servers}
	yielded := 0
	for _, err := range s.IDs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		yielded++
	}
	if yielded != 10 {
		t.Errorf("IDs yields %d ids; want 10", yielded)
	}
}

// twice are servers that have everything twice.
type twice struct{ servers }

func (s twice) all(ctx context.Context) ([]*server, error) {
	all, err := s.servers.all(ctx)
	return append(all, all...), err
}

// The database may have keys of other programs.
func TestIDs_SkipForeignKeys(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, nil)
	put(t, s, "id", start(firstEpoch, "a"))
	put(t, s, "", start(firstEpoch, "of the empty id"))
	for _, key := range []string{"safe:{a{b}:h", "safe:{%}%}:h", "safe:{%7b}:h", "safe:{}:h", "xsafe:{a}:h", "safe:{a}:hh", "{a}:h"} {
		if err := client.Set(t.Context(), key, "foreign", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	found := make(map[string]bool)
	for id, err := range s.IDs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found[id] = true
	}
	if len(found) != 2 || !found["id"] || !found[""] {
		t.Errorf("IDs yields %v", found)
	}
	if got, err := s.Load(t.Context(), "", replay.Cursor{}); err != nil || got.Cursor != (replay.Cursor{Epoch: firstEpoch, Revision: 1}) {
		t.Errorf("Load of the empty id: %s, %v", got.Cursor, err)
	}
}

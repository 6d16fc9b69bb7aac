package redis

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// refuses checks that an error says who refused and what to do about it.
func refuses(t *testing.T, err error, advice string) {
	t.Helper()
	if !errors.Is(err, ErrRefused) || errors.Is(err, replay.ErrUnavailable) || !strings.Contains(err.Error(), advice) {
		t.Errorf("error %v; want ErrRefused that says %q", err, advice)
	}
}

func TestRefused_NoMemory(t *testing.T) {
	client := redistest.Start(t, &redistest.Options{Args: []string{"--maxmemory-policy", "noeviction"}}).Client()
	s := open(t, client, nil)
	head := put(t, s, "id", keyed(start(firstEpoch, "a"), "key"))
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	before := dump(t, client)
	batch := next(head, make([]string, 10)...)
	batch.Snapshot = []byte("state")
	err := s.Append(t.Context(), "id", keyed(batch, "key", "other"))
	refuses(t, err, "maxmemory")
	err = s.Append(t.Context(), "other", start(firstEpoch, "a"))
	refuses(t, err, "maxmemory")
	if after := dump(t, client); after != before {
		t.Errorf("what was refused changed %s to %s", before, after)
	}
	// It can be read, and a removal makes room.
	if got := datas(t, s, "id", firstEpoch); len(got) != 1 {
		t.Errorf("the history holds %q", got)
	}
	put(t, s, "id", removing(next(head, "b")))
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	put(t, s, "id", start(firstEpoch+1, "c"))
}

func TestRefused_NoDisk(t *testing.T) {
	server := redistest.Start(t, &redistest.Options{Fsync: "off", Args: []string{"--save", "3600 1"}})
	client := server.Client()
	s := open(t, client, nil)
	head := put(t, s, "id", start(firstEpoch, "a"))
	// A snapshot cannot be put into the place of a folder.
	snapshot := filepath.Join(server.Dir(), "dump.rdb")
	if err := os.MkdirAll(snapshot, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := client.BgSave(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the snapshot to fail", func() bool {
		info, err := client.Info(t.Context(), "persistence").Result()
		return err == nil && strings.Contains(info, "rdb_last_bgsave_status:err")
	})
	err := s.Append(t.Context(), "id", next(head, "b"))
	refuses(t, err, "disk")
	if got := datas(t, s, "id", firstEpoch); len(got) != 1 {
		t.Errorf("the history holds %q", got)
	}
	if err := os.Remove(snapshot); err != nil {
		t.Fatal(err)
	}
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	put(t, s, "id", next(head, "b"))
}

func TestPermissions_AsDocumented(t *testing.T) {
	server := redistest.Start(t, nil)
	admin := server.Client()
	user := func(name string, rules ...any) *goredis.Client {
		t.Helper()
		args := append([]any{"acl", "setuser", name, "on", ">secret"}, rules...)
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
		return newProxy(t, server.Addr()).client(t, func(o *goredis.Options) { o.Username, o.Password = name, "secret" })
	}
	var rules []any
	for rule := range strings.FieldsSeq(documentedRules) {
		rules = append(rules, rule)
	}
	s := open(t, user("enough", rules...), impatient())
	r := record(t, s, "id")
	r.awaitStart(t)
	head := put(t, s, "id", keyed(start(firstEpoch, "a"), "key"))
	eventually(t, "an announcement", func() bool { return r.received(head) })
	head = put(t, s, "id", keyed(next(head, "b"), "key 2"))
	if found, err := s.Find(t.Context(), "id", []string{"key", "key 2"}); err != nil || len(found) != 2 {
		t.Errorf("Find: %d, %v", len(found), err)
	}
	for _, err := range s.IDs(t.Context()) {
		if err != nil {
			t.Errorf("IDs: %v", err)
		}
	}
	trimming := open(t, user("trimmer", rules...), &Options{MaxEntries: 1, MaxAge: 1})
	head = put(t, trimming, "id", keyed(next(head, make([]string, 200)...), "key 3"))
	put(t, trimming, "id", removing(next(head, "the end")))

	// Without one of them, the first call says what is missing.
	for i, without := range [][]any{
		{"resetchannels"}, {"-publish"}, {"-subscribe"}, {"-pubsub"}, {"-info"}, {"-evalsha"}, {"resetkeys", "~other:*"},
	} {
		lacking := open(t, user(fmt.Sprint("lacking", i), append(rules[:len(rules):len(rules)], without...)...), nil)
		refuses(t, loadError(t, lacking, "missing"), "allow it")
	}
	wrong := open(t, newProxy(t, server.Addr()).client(t, func(o *goredis.Options) { o.Username, o.Password = "enough", "wrong" }), nil)
	refuses(t, loadError(t, wrong, "id"), "password")
}

// A permission may be revoked later. What was committed stands, and calls say why
// they fail.
func TestPermissions_RevokedChannels(t *testing.T) {
	server := redistest.Start(t, nil)
	admin := server.Client()
	allow := func(rule string) {
		t.Helper()
		if err := admin.Do(t.Context(), "acl", "setuser", "user", "on", "nopass", "allkeys", "allcommands", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	allow("allchannels")
	client := newProxy(t, server.Addr()).client(t, func(o *goredis.Options) { o.Username, o.Password = "user", "any" })
	s, other := open(t, client, impatient()), open(t, admin, nil)
	put(t, s, "id", start(firstEpoch, "a"))
	allow("resetchannels")
	refuses(t, s.Append(t.Context(), "id", next(at(1), "b")), "allow it")
	if loaded, err := other.Load(t.Context(), "id", replay.Cursor{}); err != nil || loaded.Cursor != at(2) {
		t.Errorf("after an append that could not be announced: %s, %v", loaded.Cursor, err)
	}
	r := record(t, s, "id")
	eventually(t, "calls to fail", func() bool { return errors.Is(loadError(t, s, "id"), ErrRefused) })
	refuses(t, loadError(t, s, "id"), "allow it")
	r.nilAfter(t, "each check", func() {}) // the follower learns of it by calls
	allow("allchannels")
	head := at(2)
	eventually(t, "an announcement", func() bool {
		// The announcement of the batch before has had the time of a pause.
		if r.received(head) {
			return true
		}
		head = put(t, other, "id", next(head, "c"))
		return false
	})
	if err := loadError(t, s, "id"); err != nil {
		t.Errorf("after the permission is back: %v", err)
	}
}

func TestUnavailable_Reasons(t *testing.T) {
	server := redistest.Start(t, nil)
	client := server.Client()
	s := open(t, client, nil)
	head := put(t, s, "id", start(firstEpoch, "a"))
	if err := client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	err := s.Append(t.Context(), "id", next(head, "b"))
	if !errors.Is(err, replay.ErrUnavailable) || !strings.Contains(err.Error(), "min-replicas-to-write") {
		t.Errorf("Append without replicas: %v", err)
	}
	if err := client.ConfigSet(t.Context(), "min-replicas-to-write", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	err = s.Append(t.Context(), "id", next(head, "b"))
	if !errors.Is(err, replay.ErrUnavailable) || !strings.Contains(err.Error(), "it is a replica") {
		t.Errorf("Append to a replica: %v", err)
	}
	if err := client.ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	put(t, s, "id", next(head, "b"))
	if kind, reason := classify(redisError("ERR max number of clients reached")); kind != kindBusy || !strings.Contains(reason, "maxclients") {
		t.Errorf("too many connections: %v, %q", kind, reason)
	}
}

func TestRequirements_Version(t *testing.T) {
	t.Parallel()
	for info, want := range map[string]string{
		"redis_version:6.0.16\r\nredis_mode:standalone\r\n": "6.2 or later",
		"redis_version:5.0.7":                               "6.2 or later",
		"redis_version:6.2.0\r\n":                           "",
		"redis_version:7.2.4\r\nredis_mode:standalone\r\n":  "",
		"redis_version:10.0\r\n":                            "",
		"redis_version:\r\nnonsense":                        "",
		"":                                                  "",
		"redis_mode:cluster\r\nredis_version:7.0.0\r\n":     "NewClusterClient",
		"redis_mode:sentinel\r\n":                           "NewFailoverClient",
	} {
		err := checkInfo(parseInfo(info), false)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", info, err, want)
		}
	}
	if err := checkInfo(parseInfo("redis_mode:cluster\r\n"), true); err != nil {
		t.Errorf("a cluster with a client for clusters: %v", err)
	}
	if err := checkInfo(parseInfo("redis_mode:cluster\r\nredis_version:6.2.14\r\n"), true); err == nil || !strings.Contains(err.Error(), "7.0 or later") {
		t.Errorf("a cluster without sharded channels: %v", err)
	}

	cluster := redistest.StartCluster(t, 1, nil)
	s := open(t, cluster.Nodes[0].Client(), nil)
	_, err := s.Load(t.Context(), "id", replay.Cursor{})
	refuses(t, err, "NewClusterClient")
}

func TestRequirements_LogConfiguration(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string
	}{
		{args: []string{"--maxmemory-policy", "noeviction"}},
		{args: []string{"--maxmemory-policy", "allkeys-lru"}, want: []string{"maxmemory-policy is allkeys-lru"}},
		{args: []string{"--appendonly", "no", "--save", "3600 1"}},
		{args: []string{"--appendonly", "no"}, want: []string{"nothing on disk"}},
		{args: []string{"--appendonly", "no", "--maxmemory-policy", "volatile-ttl"}, want: []string{"nothing on disk", "volatile-ttl"}},
	} {
		for _, protocol := range []int{2, 3} {
			server := redistest.Start(t, &redistest.Options{Args: test.args})
			var log bytes.Buffer
			client := newProxy(t, server.Addr()).client(t, func(o *goredis.Options) { o.Protocol = protocol })
			s := open(t, client, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			for i := range 3 {
				put(t, s, fmt.Sprint(i), start(firstEpoch, "a"))
			}
			if lines := strings.Count(log.String(), "\n"); lines != min(len(test.want), 1) {
				t.Errorf("%q: %d lines were logged: %s", test.args, lines, &log)
			}
			for _, want := range test.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%q: logged was %s; want %q", test.args, &log, want)
				}
			}
		}
	}
}

// After an outage, another server may be at the address.
func TestRequirements_CheckedAgain(t *testing.T) {
	good := redistest.Start(t, &redistest.Options{Fsync: "no"})
	bad := redistest.Start(t, &redistest.Options{Fsync: "no", Args: []string{"--maxmemory-policy", "allkeys-lru"}})
	p := newProxy(t, good.Addr())
	var log bytes.Buffer
	options := impatient()
	options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := open(t, p.client(t, nil), options)
	works(t, s)
	good.Kill()
	failsFast(t, s, "id")
	p.retarget(bad.Addr())
	works(t, s)
	if !strings.Contains(log.String(), "allkeys-lru") {
		t.Errorf("logged was %q; want a word about the other server", &log)
	}
}

// documentedRules are those of the package documentation.
const documentedRules = `
	~safe:* &safe:* +@connection +info +config|get +scan +time +wait +cluster
	+eval +evalsha +hget +hmget +hset +hdel +hlen +xadd +xlen +xrange +xtrim +exists +unlink +expire
	+pubsub +publish +spublish +subscribe +unsubscribe +ssubscribe +sunsubscribe`

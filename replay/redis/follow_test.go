package redis

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// quiet returns options with which no check is due during a test.
func quiet() *Options { return &Options{CheckInterval: time.Hour} }

func TestFollow_EntriesUpTo64KiB(t *testing.T) {
	server := redistest.Start(t, nil)
	a, b := open(t, server.Client(), nil), open(t, server.Client(), quiet())
	r := record(t, b, "id")
	r.awaitStart(t)
	for i, size := range []int{0, 1, maxAnnounced / 2, maxAnnounced - 100, maxAnnounced + 1, 1 << 20} {
		batch := start(firstEpoch+uint64(i), "x")
		batch.Entries[0].Data, batch.Snapshot = make([]byte, size), make([]byte, 1<<20)
		before := r.nilCount()
		put(t, a, "id", removing(batch))
		eventually(t, fmt.Sprint("the news of ", size, " bytes"), func() bool {
			return r.received(batch.Last()) || r.nilCount() > before
		})
		if fits := size+entryLengths <= maxAnnounced; r.received(batch.Last()) != fits {
			t.Errorf("a batch of %d bytes was announced with its entries: %t; want %t", size, r.received(batch.Last()), fits)
		}
	}
}

func TestFollow_ConnectionLost(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	a, b := open(t, server.Client(), nil), open(t, p.client(t, nil), quiet())
	r := record(t, b, "id")
	r.awaitStart(t)
	head := put(t, a, "id", start(firstEpoch, "a"))
	for range 3 {
		r.nilAfter(t, "its connection broke", p.breakAll)
		head = put(t, a, "id", next(head, "b"))
		eventually(t, "an announcement", func() bool { return r.received(head) })
	}
}

func TestFollow_ServerWasDown(t *testing.T) {
	server := redistest.Start(t, nil)
	a, b := open(t, server.Client(), impatient()), open(t, server.Client(), impatient())
	recorders := make([]*recorder, 50)
	for i := range recorders {
		recorders[i] = record(t, b, fmt.Sprint("id ", i))
	}
	for _, r := range recorders {
		r.awaitStart(t)
	}
	for i, away := range []func(){
		func() { server.Kill(); failsFast(t, b, "id 0"); server.Restart() },
		server.Restart,
		func() { server.Pause(); failsSoon(t, b, "id 0"); server.Resume() },
	} {
		before := make([]int, len(recorders))
		for i, r := range recorders {
			before[i] = r.nilCount()
		}
		away()
		for i, r := range recorders {
			eventually(t, "nil", func() bool { return r.nilCount() > before[i] })
		}
		works(t, a)
		recorders[0].learnsOf(t, a, "id 0", removing(start(firstEpoch+uint64(i), "a")))
	}
}

// failsSoon waits until calls fail.
func failsSoon(t testing.TB, s *Store, id string) {
	t.Helper()
	eventually(t, "calls to fail", func() bool { return s.servers.asOne().unreachable() != nil || loadError(t, s, id) != nil })
}

// A network that drops everything is noticed by the silence, without a call.
func TestFollow_SilentConnection(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	options := quiet()
	options.MaxSilence, options.Timeout = 300*time.Millisecond, 500*time.Millisecond
	a, b := open(t, server.Client(), nil), open(t, p.client(t, nil), options)
	r := record(t, b, "id")
	r.awaitStart(t)
	p.abandon() // other connections do work
	head := put(t, a, "id", start(firstEpoch, "a"))
	r.nilAfter(t, "silence", func() {})
	head = put(t, a, "id", next(head, "b"))
	eventually(t, "an announcement", func() bool { return r.received(head) })
}

// Histories change without an announcement.
func TestCheck_FindsUnannounced(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, nil)
	client := server.Client()
	options := quiet()
	options.CheckInterval = 50 * time.Millisecond
	a, b := open(t, client, nil), open(t, client, options)
	head := put(t, a, "id", start(firstEpoch, "a", "b"))
	r := record(t, b, "id")
	r.awaitStart(t)

	r.nilAfter(t, "a flush", server.Flush)
	r.nilAfter(t, "a history without an announcement", func() { unannounced(t, a, "id", start(firstEpoch, "a")) })
	r.nilAfter(t, "an append without an announcement", func() { unannounced(t, a, "id", next(at(1), "b")) })
	// Another history at the same position, as after a failover.
	r.nilAfter(t, "a history in the place of another", func() {
		ctx := t.Context()
		k := a.naming.keys("id")
		if err := client.HSet(ctx, k.head, "t", "another batch").Err(); err != nil {
			t.Fatal(err)
		}
	})
	r.nilAfter(t, "a history that went back", func() {
		server.Flush()
		unannounced(t, a, "id", start(firstEpoch, "a"))
	})
	if head != at(2) {
		t.Fatal("the head is elsewhere")
	}

	// A check that finds what is expected notifies nobody: neither after an append
	// of this store nor after one of another. Notifications of the last changes may
	// still be under way.
	put(t, b, "id", next(at(1), "b"))
	r.staysQuiet(t, client)
	put(t, a, "id", next(at(2), "c"))
	r.staysQuiet(t, client)
	put(t, a, "id", removing(next(at(3), "d")))
	r.staysQuiet(t, client)
	put(t, b, "id", removing(start(firstEpoch+1, "e")))
	r.staysQuiet(t, client)
}

// staysQuiet waits until several checks have notified of nothing.
func (r *recorder) staysQuiet(t testing.TB, client *goredis.Client) {
	t.Helper()
	before, notified := -1, 0
	for quietChecks := 0; quietChecks < 10; quietChecks++ {
		if now := r.nilCount(); now != before {
			before, quietChecks = now, 0
			if notified++; notified > 4 {
				t.Fatalf("every check finds a difference")
			}
		}
		checks := headsRead(t, client)
		eventually(t, "two checks", func() bool { return headsRead(t, client) > checks+1 })
	}
}

// A store knows the position of its own appends without their announcements: when
// they are lost, the check notifies with nil.
func TestCheck_KnowsOwnAppends(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	s := open(t, p.client(t, nil), &Options{Timeout: 300 * time.Millisecond, CheckInterval: time.Second, MaxSilence: -1})
	put(t, s, "id", start(firstEpoch, "a"))
	r := record(t, s, "id")
	r.awaitStart(t)
	p.abandon() // so that announcements are not received
	failsSoon(t, s, "id")
	r.nilAfter(t, "the server replies again", func() { works(t, s) })

	k := s.naming.keys("id")
	client := server.Client()
	kept := make(map[string]string)
	for _, name := range []string{k.head, k.stream} {
		value, err := client.Dump(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		kept[name] = value
	}
	r.nilAfter(t, "what was appended is lost", func() {
		put(t, s, "id", next(at(1), "b"))
		for name, value := range kept {
			if err := client.RestoreReplace(t.Context(), name, 0, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// headsRead is how many heads the server was asked for.
func headsRead(t testing.TB, client *goredis.Client) (times int) {
	t.Helper()
	stats, err := client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, stats, _ = strings.Cut(stats, "cmdstat_hmget:calls=")
	number, _, _ := strings.Cut(stats, ",")
	times, err = strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return times
}

// unannounced appends a batch without an announcement.
func unannounced(t testing.TB, s *Store, id string, batch replay.Batch) {
	t.Helper()
	k := s.naming.keys(id)
	silent := k
	silent.channel = "no subscribers"
	args := s.appendArguments(&silent, &batch, "token of "+batch.Last().String())
	result, err := s.eval(t.Context(), &call{script: appendScript, keys: &k, args: args})
	if err != nil || codeOf(result) != codeCommitted {
		t.Fatalf("%v, %v", result, err)
	}
}

func TestFollow_Thousands(t *testing.T) {
	const n = 10_000
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	a, b := open(t, server.Client(), nil), open(t, p.client(t, nil), quiet())
	recorders := make([]*recorder, n)
	for i := range recorders {
		recorders[i] = record(t, b, fmt.Sprint("id ", i))
	}
	for round := range 2 {
		for _, r := range recorders {
			eventually(t, "all to be notified", func() bool { return r.nilCount() > round })
		}
		for i := 0; i < n; i += 1000 {
			head := put(t, a, fmt.Sprint("id ", i), removing(start(firstEpoch+uint64(round), "a")))
			eventually(t, "an announcement", func() bool { return recorders[i].received(head) })
		}
		if round == 0 {
			p.breakAll()
		}
	}
	for _, r := range recorders {
		r.stop()
	}
	eventually(t, "the server to have no subscriptions", func() bool {
		channels, err := server.Client().PubSubChannels(t.Context(), "*").Result()
		return err == nil && len(channels) == 0
	})
}

// A follower that could not read the position while the server did not reply must
// be notified afterwards, although the pub/sub connection did not break.
func TestFollow_ServerWasPaused(t *testing.T) {
	server := redistest.Start(t, nil)
	s := open(t, server.Client(), &Options{Timeout: 300 * time.Millisecond, CheckInterval: -1, MaxSilence: -1})
	r := record(t, s, "id")
	r.awaitStart(t)
	for range 2 {
		r.nilAfter(t, "the server replies again", func() {
			server.Pause()
			failsSoon(t, s, "id")
			server.Resume()
		})
	}
}

// The check expects a history where it was announced.
func TestCheck_KnowsAnnouncements(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), quiet())
	r := record(t, s, "id")
	r.awaitStart(t)
	f := s.following
	known := func() version {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.subscriptions[s.naming.keys("id").channel].version
	}
	first, second := start(firstEpoch, "a"), next(at(1), "b")
	end := removing(next(at(2), "c"))
	for i, test := range []struct {
		batch replay.Batch
		want  version
	}{
		{first, version{at(1), "token"}},
		{second, version{at(2), "token"}},
		{first, version{at(2), "token"}}, // comes late
		{end, version{}},
	} {
		f.mu.Lock()
		l := f.subscriptions[s.naming.keys("id").channel].conn
		f.mu.Unlock()
		l.announced(s.naming.keys("id").channel, string(announce(&test.batch, "token")))
		if got := known(); got != test.want {
			t.Errorf("after announcement %d the history is taken to be at %+v; want %+v", i, got, test.want)
		}
	}
}

// Channels are shared by the databases of a server, histories are not.
func TestFollow_OneDatabaseOnly(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	one := open(t, server.Client(), nil)
	two := open(t, p.database(t, 2), quiet())
	r := record(t, two, "id")
	r.awaitStart(t)
	put(t, one, "id", start(firstEpoch, "of database 0"))
	head := put(t, two, "id", start(firstEpoch+1, "of database 2"))
	eventually(t, "an announcement", func() bool { return r.received(head) })
	if r.received(at(1)) {
		t.Error("it was notified of a history in another database")
	}
}

// A client that may publish may publish anything.
func TestFollow_ForeignMessage(t *testing.T) {
	server := redistest.Start(t, nil)
	client := server.Client()
	s := open(t, client, quiet())
	r := record(t, s, "id")
	r.awaitStart(t)
	batch := start(firstEpoch, "a")
	valid := string(announce(&batch, "token"))
	for _, payload := range []string{
		"", "hello", "\x01", string(announce(&replay.Batch{}, "")) + "x",
		"\x01" + valid[1:], "\x03" + valid[1:], // of other releases
	} {
		r.nilAfter(t, fmt.Sprintf("%q", payload), func() {
			if err := client.Publish(t.Context(), s.naming.keys("id").channel, payload).Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if r.received(batch.Last()) {
		t.Error("an announcement of another version was understood")
	}
}

// Announcements come in order, and the followers of one history do not disturb each
// other: one stops itself while it is notified.
func TestFollow_InOrder(t *testing.T) {
	server := redistest.Start(t, nil)
	a, b := open(t, server.Client(), nil), open(t, server.Client(), quiet())
	stays, goes := record(t, b, "id"), &recorder{}
	goes.stop = b.Follow("id", func(entries []replay.Entry) {
		goes.notify(entries)
		if entries != nil {
			goes.stop()
		}
	})
	stays.awaitStart(t)
	goes.awaitStart(t)
	head := put(t, a, "id", start(firstEpoch, "a"))
	for range 99 {
		head = put(t, a, "id", next(head, "b"))
	}
	eventually(t, "the last announcement", func() bool { return stays.received(head) })
	stays.mu.Lock()
	defer stays.mu.Unlock()
	for i, batch := range stays.batches {
		if want := at(uint64(i + 1)); batch[0].Cursor != want {
			t.Errorf("batch %d is at %s; want %s", i, batch[0].Cursor, want)
		}
	}
	goes.mu.Lock()
	defer goes.mu.Unlock()
	if len(goes.batches) != 1 {
		t.Errorf("a follower was notified of %d batches; it stopped at the first", len(goes.batches))
	}
}

// A follower that is slow costs no memory here: what it has not taken waits at the
// server, which closes the connection when that is too much. Then it is notified
// with nil and of what comes afterwards.
func TestFollow_SlowFollower(t *testing.T) {
	server := redistest.Start(t, &redistest.Options{Args: []string{"--client-output-buffer-limit", "pubsub 1mb 1mb 1"}})
	client := server.Client()
	a, b := open(t, client, nil), open(t, server.Client(), quiet())
	r, other := &recorder{}, record(t, b, "other")
	var blocked sync.Mutex
	stop := b.Follow("id", func(entries []replay.Entry) {
		blocked.Lock()
		defer blocked.Unlock()
		r.notify(entries)
	})
	defer stop()
	r.awaitStart(t)
	other.awaitStart(t)
	blocked.Lock()
	nils := r.nilCount()
	head := put(t, a, "id", start(firstEpoch, "a"))
	const size = 60_000
	written := 0
	eventually(t, "the server to close the connection", func() bool {
		head = put(t, a, "id", sized(head, size))
		written++
		subscribers, err := client.PubSubNumSub(t.Context(), a.naming.keys("id").channel).Result()
		return err == nil && subscribers[a.naming.keys("id").channel] == 0
	})
	blocked.Unlock()
	eventually(t, "nil after the connection was closed", func() bool { return r.nilCount() > nils })
	other.awaitStart(t)
	head = put(t, a, "id", next(head, "z"))
	eventually(t, "an announcement", func() bool { return r.received(head) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.batches) > written {
		t.Errorf("it was notified of %d batches of %d; want that some were dropped", len(r.batches), written)
	}
}

package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// ear notes what a follower is told.
type ear struct {
	stop func()

	mu      sync.Mutex
	nils    int
	batches [][]replay.Entry
}

func listen(t testing.TB, s *Store, id string) *ear {
	t.Helper()
	e := &ear{}
	e.stop = s.Follow(id, func(entries []replay.Entry) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if entries == nil {
			e.nils++
		} else {
			e.batches = append(e.batches, entries)
		}
	})
	t.Cleanup(e.stop)
	return e
}

// looks is how often it was told to look.
func (e *ear) looks() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.nils
}

// heard reports whether it was told of a batch that ends there.
func (e *ear) heard(last replay.Cursor) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.batches, func(batch []replay.Entry) bool {
		return batch[len(batch)-1].Cursor == last
	})
}

// begins waits until the telling has begun.
func (e *ear) begins(t testing.TB) {
	t.Helper()
	eventually(t, "the telling to begin", func() bool { return e.looks() > 0 })
}

// looksAfter waits until it is told to look after something has happened.
func (e *ear) looksAfter(t testing.TB, what string, happens func()) {
	t.Helper()
	before := e.looks()
	happens()
	eventually(t, "a follower to look after "+what, func() bool { return e.looks() > before })
}

// learns appends a batch, of which the follower must be told or told to look.
func (e *ear) learns(t testing.TB, s *Store, id string, batch replay.Batch) {
	t.Helper()
	before := e.looks()
	put(t, s, id, batch)
	eventually(t, "a follower to learn of an append", func() bool { return e.heard(batch.Last()) || e.looks() > before })
}

// quiet are options with which nothing but announcements tells anything.
func quiet() *Options { return &Options{CheckInterval: time.Hour} }

func TestAnnouncementsCarryWhatFitsInto64KiB(t *testing.T) {
	server := redistest.Start(t, nil)
	a, b := open(t, server.Client(), nil), open(t, server.Client(), quiet())
	e := listen(t, b, "id")
	e.begins(t)
	for i, size := range []int{0, 1, maxAnnounced / 2, maxAnnounced - 100, maxAnnounced + 1, 1 << 20} {
		batch := start(firstEpoch+uint64(i), "x")
		batch.Entries[0].Data = make([]byte, size)
		before := e.looks()
		put(t, a, "id", removing(batch))
		eventually(t, fmt.Sprint("the news of ", size, " bytes"), func() bool {
			return e.heard(batch.Last()) || e.looks() > before
		})
		if fits := size+entryLengths <= maxAnnounced; e.heard(batch.Last()) != fits {
			t.Errorf("a batch of %d bytes was announced with its entries: %t; want %t", size, e.heard(batch.Last()), fits)
		}
	}
}

func TestAFollowerIsToldToLookAfterAConnectionWasLost(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	a, b := open(t, server.Client(), nil), open(t, p.client(t, nil), quiet())
	e := listen(t, b, "id")
	e.begins(t)
	head := put(t, a, "id", start(firstEpoch, "a"))
	for range 3 {
		e.looksAfter(t, "its connection broke", p.breakAll)
		head = put(t, a, "id", next(head, "b"))
		eventually(t, "an announcement", func() bool { return e.heard(head) })
	}
}

func TestAFollowerIsToldToLookAfterTheServerWasAway(t *testing.T) {
	server := redistest.Start(t, nil)
	a, b := open(t, server.Client(), impatient()), open(t, server.Client(), impatient())
	ears := make([]*ear, 50)
	for i := range ears {
		ears[i] = listen(t, b, fmt.Sprint("id ", i))
	}
	for _, e := range ears {
		e.begins(t)
	}
	for i, away := range []func(){
		func() { server.Kill(); failsFast(t, b, "id 0"); server.Restart() },
		server.Restart,
		func() { server.Pause(); failsSoon(t, b, "id 0"); server.Resume() },
	} {
		before := make([]int, len(ears))
		for i, e := range ears {
			before[i] = e.looks()
		}
		away()
		for i, e := range ears {
			eventually(t, "a follower to look", func() bool { return e.looks() > before[i] })
		}
		works(t, a)
		ears[0].learns(t, a, "id 0", removing(start(firstEpoch+uint64(i), "a")))
	}
}

// failsSoon waits until calls fail.
func failsSoon(t testing.TB, s *Store, id string) {
	t.Helper()
	eventually(t, "calls to fail", func() bool { return s.servers.whole().unreachable() != nil || second(s.Load(t.Context(), id)) != nil })
}

// A network that drops everything is noticed by the silence alone: nobody calls.
func TestSilenceIsNoticed(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	options := quiet()
	options.MaxSilence, options.Timeout = 300*time.Millisecond, 500*time.Millisecond
	a, b := open(t, server.Client(), nil), open(t, p.client(t, nil), options)
	e := listen(t, b, "id")
	e.begins(t)
	p.abandon() // other connections do work
	head := put(t, a, "id", start(firstEpoch, "a"))
	e.looksAfter(t, "silence", func() {})
	head = put(t, a, "id", next(head, "b"))
	eventually(t, "an announcement", func() bool { return e.heard(head) })
}

// TestTheCheckFindsWhatNobodyAnnounced changes histories behind the store's
// back.
func TestTheCheckFindsWhatNobodyAnnounced(t *testing.T) {
	server := redistest.Start(t, nil)
	client := server.Client()
	options := quiet()
	options.CheckInterval = 50 * time.Millisecond
	a, b := open(t, client, nil), open(t, client, options)
	head := put(t, a, "id", start(firstEpoch, "a", "b"))
	e := listen(t, b, "id")
	e.begins(t)

	e.looksAfter(t, "a flush", server.Flush)
	e.looksAfter(t, "a history without an announcement", func() { unannounced(t, a, "id", start(firstEpoch, "a")) })
	e.looksAfter(t, "an append without an announcement", func() { unannounced(t, a, "id", next(at(1), "b")) })
	// Another history at the same position, as after a failover.
	e.looksAfter(t, "a history in the place of another", func() {
		ctx := t.Context()
		k := a.naming.keys("id")
		if err := client.HSet(ctx, k.head, "t", "another batch").Err(); err != nil {
			t.Fatal(err)
		}
	})
	e.looksAfter(t, "a history that went back", func() {
		server.Flush()
		unannounced(t, a, "id", start(firstEpoch, "a"))
	})
	if head != at(2) {
		t.Fatal("the head is elsewhere")
	}

	// Where nothing is amiss, nobody is told anything: neither after what this
	// store has appended nor after what another one has. What was told of the
	// last changes may still be on its way.
	put(t, b, "id", next(at(1), "b"))
	e.staysQuiet(t, client)
	put(t, a, "id", next(at(2), "c"))
	e.staysQuiet(t, client)
	put(t, a, "id", removing(next(at(3), "d")))
	e.staysQuiet(t, client)
	put(t, b, "id", removing(start(firstEpoch+1, "e")))
	e.staysQuiet(t, client)
}

// staysQuiet waits until several checks have told nothing.
func (e *ear) staysQuiet(t testing.TB, client *goredis.Client) {
	t.Helper()
	before, told := -1, 0
	for quietChecks := 0; quietChecks < 10; quietChecks++ {
		if now := e.looks(); now != before {
			before, quietChecks = now, 0
			if told++; told > 4 {
				t.Fatalf("checks find something amiss again and again")
			}
		}
		checks := lookedAt(t, client)
		eventually(t, "two checks", func() bool { return lookedAt(t, client) > checks+1 })
	}
}

// A store knows where it has itself brought a history, also if it does not hear
// of it: when that is lost, whoever follows is told to look.
func TestTheCheckKnowsWhatThisStoreHasAppended(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	s := open(t, p.client(t, nil), &Options{Timeout: 300 * time.Millisecond, CheckInterval: time.Second, MaxSilence: -1})
	put(t, s, "id", start(firstEpoch, "a"))
	e := listen(t, s, "id")
	e.begins(t)
	p.abandon() // so that announcements are not heard
	failsSoon(t, s, "id")
	e.looksAfter(t, "the server answers again", func() { works(t, s) })

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
	e.looksAfter(t, "what was appended is lost", func() {
		put(t, s, "id", next(at(1), "b"))
		for name, value := range kept {
			if err := client.RestoreReplace(t.Context(), name, 0, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// lookedAt is how often the server was asked for heads.
func lookedAt(t testing.TB, client *goredis.Client) (times int) {
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

// unannounced appends a batch that nobody is told of.
func unannounced(t testing.TB, s *Store, id string, batch replay.Batch) {
	t.Helper()
	k := s.naming.keys(id)
	silent := k
	silent.channel = "nobody listens"
	args := s.appendArguments(&silent, &batch, "token of "+batch.Last().String())
	answer, err := s.eval(t.Context(), &call{script: appendScript, keys: &k, args: args})
	if err != nil || codeOf(answer) != codeCommitted {
		t.Fatalf("%v, %v", answer, err)
	}
}

func TestThousandsFollow(t *testing.T) {
	const n = 10_000
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	a, b := open(t, server.Client(), nil), open(t, p.client(t, nil), quiet())
	ears := make([]*ear, n)
	for i := range ears {
		ears[i] = listen(t, b, fmt.Sprint("id ", i))
	}
	for round := range 2 {
		for _, e := range ears {
			eventually(t, "all to be told", func() bool { return e.looks() > round })
		}
		for i := 0; i < n; i += 1000 {
			head := put(t, a, fmt.Sprint("id ", i), removing(start(firstEpoch+uint64(round), "a")))
			eventually(t, "an announcement", func() bool { return ears[i].heard(head) })
		}
		if round == 0 {
			p.breakAll()
		}
	}
	for _, e := range ears {
		e.stop()
	}
	eventually(t, "the server to have no subscriptions", func() bool {
		channels, err := server.Client().PubSubChannels(t.Context(), "*").Result()
		return err == nil && len(channels) == 0
	})
}

// Whoever could not look while the server did not answer must look afterwards,
// although the connection that announces has lived through it.
func TestAFollowerIsToldToLookWhenTheServerAnswersAgain(t *testing.T) {
	server := redistest.Start(t, nil)
	s := open(t, server.Client(), &Options{Timeout: 300 * time.Millisecond, CheckInterval: -1, MaxSilence: -1})
	e := listen(t, s, "id")
	e.begins(t)
	for range 2 {
		e.looksAfter(t, "the server answers again", func() {
			server.Pause()
			failsSoon(t, s, "id")
			server.Resume()
		})
	}
}

// What was announced is where the check expects a history to be.
func TestAnnouncementsTellTheCheck(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), quiet())
	e := listen(t, s, "id")
	e.begins(t)
	f := s.following
	known := func() mark {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.topics[s.naming.keys("id").channel].known
	}
	first, second := start(firstEpoch, "a"), next(at(1), "b")
	end := removing(next(at(2), "c"))
	for i, test := range []struct {
		batch replay.Batch
		want  mark
	}{
		{first, mark{at(1), "token"}},
		{second, mark{at(2), "token"}},
		{first, mark{at(2), "token"}}, // comes late
		{end, mark{}},
	} {
		f.mu.Lock()
		l := f.topics[s.naming.keys("id").channel].line
		f.mu.Unlock()
		l.announced(s.naming.keys("id").channel, string(announce(&test.batch, "token")))
		if got := known(); got != test.want {
			t.Errorf("after announcement %d the history is taken to be at %+v; want %+v", i, got, test.want)
		}
	}
}

// Channels are shared by the databases of a server, histories are not.
func TestDatabasesDoNotHearEachOther(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	one := open(t, server.Client(), nil)
	two := open(t, p.database(t, 2), quiet())
	e := listen(t, two, "id")
	e.begins(t)
	put(t, one, "id", start(firstEpoch, "of database 0"))
	head := put(t, two, "id", start(firstEpoch+1, "of database 2"))
	eventually(t, "an announcement", func() bool { return e.heard(head) })
	if e.heard(at(1)) {
		t.Error("it heard of a history in another database")
	}
}

// Whoever may publish may publish anything.
func TestForeignAnnouncementsAreLookedAt(t *testing.T) {
	server := redistest.Start(t, nil)
	client := server.Client()
	s := open(t, client, quiet())
	e := listen(t, s, "id")
	e.begins(t)
	for _, payload := range []string{"", "hello", "\x01", string(announce(&replay.Batch{}, "")) + "x"} {
		e.looksAfter(t, fmt.Sprintf("%q", payload), func() {
			if err := client.Publish(t.Context(), s.naming.keys("id").channel, payload).Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

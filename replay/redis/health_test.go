package redis

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// impatient returns options with which faults of servers are noticed soon.
func impatient() *Options {
	return &Options{Timeout: 500 * time.Millisecond, CheckInterval: 100 * time.Millisecond, MaxSilence: 300 * time.Millisecond}
}

func TestHealth_ServerKilled(t *testing.T) {
	server := redistest.Start(t, nil)
	s := open(t, server.Client(), impatient())
	head := put(t, s, "id", start(firstEpoch, "a"))
	for i := range 3 {
		server.Kill()
		_, err := s.Load(t.Context(), "id", replay.Cursor{})
		if !errors.Is(err, replay.ErrUnavailable) {
			t.Fatalf("Load: %v; want ErrUnavailable", err)
		}
		if !strings.Contains(err.Error(), server.Addr()) || !strings.Contains(err.Error(), "see that it runs") {
			t.Errorf("the error names neither the server nor what to do: %v", err)
		}
		failsFast(t, s, "id")
		server.Restart()
		works(t, s)
		head = put(t, s, "id", next(head, "b"))
		if got := datas(t, s, "id", firstEpoch); len(got) != 2+i {
			t.Fatalf("the history holds %q", got)
		}
	}
}

func TestHealth_ServerPaused(t *testing.T) {
	server := redistest.Start(t, nil)
	s := open(t, server.Client(), impatient())
	head := put(t, s, "id", start(firstEpoch, "a"))
	server.Pause()
	if err := s.Append(t.Context(), "id", next(head, "maybe")); !errors.Is(err, replay.ErrUnavailable) {
		t.Fatalf("Append: %v; want ErrUnavailable", err)
	}
	failsFast(t, s, "id")
	server.Resume()
	works(t, s)
	// The batch that was on its way when the server was paused may have
	// arrived.
	loaded, err := s.Load(t.Context(), "id", replay.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "id", next(loaded.Cursor, "b"))
}

// A network may drop all packets, and keep dropping those of existing connections.
func TestHealth_PacketsDropped(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	s := open(t, p.client(t, nil), impatient())
	put(t, s, "id", start(firstEpoch, "a"))
	p.swallow(true)
	if _, err := s.Load(t.Context(), "id", replay.Cursor{}); !errors.Is(err, replay.ErrUnavailable) {
		t.Fatalf("Load: %v; want ErrUnavailable", err)
	}
	failsFast(t, s, "id")
	p.swallow(false)
	works(t, s)
	if got := datas(t, s, "id", firstEpoch); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("the history holds %q", got)
	}
}

// When such a network works again, the old connections are still dead. They must not
// cost one call each.
func TestHealth_DeadIdleConnections(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	client := p.client(t, func(o *goredis.Options) { o.PoolSize = 20 })
	s := open(t, client, impatient())
	works(t, s)
	var conns []*goredis.Conn
	for range 20 {
		conn := client.Conn()
		if err := conn.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "idle connections", func() bool { return client.PoolStats().IdleConns >= 20 })
	p.abandon() // those that there are
	waited := 0 // calls that met a dead connection themselves
	eventually(t, "the store to work for a while", func() bool {
		for range 50 {
			begun := time.Now()
			_, err := s.Load(t.Context(), "id", replay.Cursor{})
			if errors.Is(err, replay.ErrNotFound) {
				continue
			}
			if time.Since(begun) > impatient().Timeout/2 {
				waited++
			}
			return false
		}
		return true
	})
	if waited == 0 || waited > 5 {
		t.Errorf("%d calls waited for one of 20 dead connections; want 1, or a few more", waited)
	}
}

func TestHealth_CallerCanceled(t *testing.T) {
	server := redistest.Start(t, nil)
	s := open(t, server.Client(), &Options{Timeout: 20 * time.Second})
	put(t, s, "id", start(firstEpoch, "a"))
	for paused := time.Duration(math.MaxInt64); paused > pingTimeout/2; {
		works(t, s)
		server.Pause()
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		_, err := s.Load(ctx, "id", replay.Cursor{})
		cancel()
		server.Resume()
		paused = time.Since(begun) // if it was long, the server is rightly marked down
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, replay.ErrUnavailable) {
			t.Fatalf("Load: %v; want the context's error", err)
		}
	}
	// A server that was marked would fail some of these.
	for range 100 {
		if _, err := s.Load(t.Context(), "id", replay.Cursor{}); err != nil {
			t.Fatalf("after a caller gave up: %v", err)
		}
	}
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if _, err := s.Load(ctx, "id", replay.Cursor{}); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("Load of a caller that gives up: %v", err)
		}
	}
	if _, err := s.Load(t.Context(), "id", replay.Cursor{}); err != nil {
		t.Fatal(err)
	}
}

// That the server does not reply is noticed although the callers' contexts always
// end first.
func TestHealth_CallersTimeOut(t *testing.T) {
	server := redistest.Start(t, nil)
	s := open(t, server.Client(), &Options{Timeout: 20 * time.Second})
	put(t, s, "id", start(firstEpoch, "a"))
	server.Pause()
	eventually(t, "calls to fail at once", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := s.Load(ctx, "id", replay.Cursor{})
		return errors.Is(err, replay.ErrUnavailable)
	})
	failsFast(t, s, "id")
	server.Resume()
	works(t, s)
}

func TestHealth_ServerNotStarted(t *testing.T) {
	server := redistest.Start(t, nil)
	client := server.Client()
	server.Kill()
	s := open(t, client, impatient())
	stop := s.Follow("id", func([]replay.Entry) {})
	defer stop()
	failsFast(t, s, "id")
	server.Restart()
	works(t, s)
	put(t, s, "id", start(firstEpoch, "a"))
}

// A server that loads its data replies, but serves nothing.
func TestHealth_ServerLoading(t *testing.T) {
	kind, reason := classify(redisError("LOADING Redis is loading the dataset in memory"))
	if kind != kindSilent || !strings.Contains(reason, "loading") {
		t.Errorf("%v, %q", kind, reason)
	}
}

func TestHealth_ClientClosed(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, impatient())
	put(t, s, "id", start(firstEpoch, "a"))
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.Load(t.Context(), "id", replay.Cursor{}); !errors.Is(err, replay.ErrClosed) {
			t.Errorf("Load: %v; want ErrClosed", err)
		}
	}
}

// redisError is an error that a server replied with.
type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

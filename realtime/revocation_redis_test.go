package realtime_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/sharedata"
)

// serveRedis is one process on a Redis server.
func serveRedis(t *testing.T, server *redistest.Server, options *realtime.Options) *testServer {
	t.Helper()
	store, err := redis.New(goredis.NewClient(redistest.ClientOptions(server.Addr())), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	ts := newTestServer(t, sharedata.Options{Store: store, StoreTimeout: 2 * time.Second}, options)
	ts.listen()
	return ts
}

// eventually waits for something that another goroutine brings about.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("not yet: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestRevoke_OnRedis(t *testing.T) {
	server := redistest.Start(t, nil)
	var tokens callers
	tokens.issue("ada", "ada", 0)
	tokens.issue("bob", "bob", 0)
	options := &realtime.Options{Authenticate: tokens.authenticate, MaxBufferedBytes: 64 << 20}
	a, b := serveRedis(t, server, options), serveRedis(t, server, options)
	a.create("c")
	b.ensure("c")
	ada, bob := followC(b.dialToken("ada")), followC(b.dialToken("bob"))

	// The proposer goes on during and after the revocation.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	committed := make(chan uint64, 1)
	committed <- 1
	go func() {
		for ctx.Err() == nil {
			verdict, err := a.manager.Propose(ctx, sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 1}})
			if err == nil {
				<-committed
				committed <- verdict.Cursor.Revision
			}
		}
	}()
	revision := func() uint64 {
		n := <-committed
		committed <- n
		return n
	}
	eventually(t, "frames", func() bool { return ada.last.Load() > 20 })
	a.revoke(realtime.Revocation{Subject: "ada"})
	returned := revision() + 1 // one may have been committed and not be counted yet
	after := revision() + 50
	eventually(t, "further frames", func() bool { return bob.last.Load() > after })
	ada.wantShutOut(t, returned)
	if n := bob.resets.Load(); n != 0 {
		t.Errorf("bob was reset %d times", n)
	}
	for _, ts := range []*testServer{a, b} {
		ts.wantStatus("ada", http.StatusUnauthorized)
	}
	tokens.issue("newer", "ada", 0)
	b.dialToken("newer").wantPong("welcome")
}

// While Redis does not answer, Revoke fails; repeated, it holds.
func TestRevoke_RedisFails(t *testing.T) {
	for name, fault := range map[string]struct{ stop, mend func(*redistest.Server) }{
		"paused": {(*redistest.Server).Pause, (*redistest.Server).Resume},
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, nil)
			var tokens callers
			tokens.issue("ada", "ada", 0)
			tokens.issue("bob", "bob", 0)
			options := &realtime.Options{Authenticate: tokens.authenticate}
			a, b := serveRedis(t, server, options), serveRedis(t, server, options)
			a.create("c")
			b.ensure("c")
			ada, bob := followC(b.dialToken("ada")), followC(b.dialToken("bob"))
			fault.stop(server)
			if err := a.server.Revoke(t.Context(), realtime.Revocation{Subject: "ada"}); err == nil {
				t.Error("revoked without the store")
			}
			fault.mend(server)
			eventually(t, "a revocation", func() bool {
				return a.server.Revoke(t.Context(), realtime.Revocation{Subject: "ada"}) == nil
			})
			returned := a.cursor("c").Revision
			a.add("c", 3)
			eventually(t, "further frames", func() bool { return bob.last.Load() >= returned+3 })
			ada.wantShutOut(t, returned)
			b.wantStatus("ada", http.StatusUnauthorized)
		})
	}
}

package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
)

// server is a Redis server and its health. As soon as it cannot be reached, calls
// fail at once, and one goroutine pings it until it replies. So no call waits for a
// server that is known not to reply.
type server struct {
	store  *Store
	name   string          // in errors: "the server at …"
	client *goredis.Client // nil for a cluster as a whole
	// ping fails if the server cannot be reached.
	ping func(ctx context.Context) error

	// checking holds an element while one goroutine checks the requirements.
	checking chan struct{}

	// mu guards everything below.
	mu      sync.Mutex
	down    error  // what calls fail with while the server cannot be reached
	pinging bool   // checkHealth runs
	fit     bool   // it meets the requirements
	runID   string // of the run of the server's program that was last noticed
	warned  string // what was last logged about its configuration
}

// How an unreachable server is pinged.
const (
	pingTimeout = time.Second
	// maxPings bounds how many connections are used at once.
	maxPings   = 64
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// newPause returns how long to wait before something is tried again that needs a
// server.
func newPause() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstPause), backoff.WithMaxInterval(lastPause),
		backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0),
	)
}

func newServer(store *Store, name string, client *goredis.Client) *server {
	srv := &server{store: store, name: name, client: client, checking: make(chan struct{}, 1)}
	srv.ping = srv.pingIdle
	return srv
}

// unreachable is what calls fail with while the server cannot be reached.
func (srv *server) unreachable() error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.down
}

// failed is the error to return for a command that failed with err, whose
// context was ctx but for the store's own timeout.
func (srv *server) failed(ctx context.Context, err error) error {
	if err := callerEnded(ctx); err != nil {
		// That proves nothing about the server, but it may be the reason.
		srv.probe()
		return err
	}
	if errors.Is(err, replay.ErrUnavailable) || errors.Is(err, replay.ErrClosed) || errors.Is(err, ErrRefused) {
		return err // this package returned it
	}
	switch kind, reason := classify(err); kind {
	case kindSilent:
		return srv.markDown(reason, err)
	case kindBusy:
		srv.probe()
		return unavailable(srv.name, reason, err)
	case kindRefused:
		return refused(srv.name, reason, err)
	case kindClosed:
		return closed(reason)
	case kindDamaged:
		return fmt.Errorf("redis: %w: %s: %w", ErrDamaged, reason, err)
	}
	return fmt.Errorf("redis: %s: %w", srv.name, err)
}

// callerEnded returns the context's error, nil if the context has not ended. A
// connection, which has the context's deadline, may notice before the context does.
func callerEnded(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// markDown notes that the server cannot be reached, and returns what calls fail
// with.
func (srv *server) markDown(reason string, err error) error {
	srv.mu.Lock()
	if srv.down == nil {
		srv.down = unavailable(srv.name, reason+"; see that it runs and can be reached from here. The store continues by itself when it replies", err)
	}
	down := srv.down
	srv.mu.Unlock()
	srv.probe()
	return down
}

// probe has the server pinged, unless it is already.
func (srv *server) probe() {
	srv.mu.Lock()
	begin := !srv.pinging
	srv.pinging = true
	srv.mu.Unlock()
	if begin {
		srv.store.start(srv.checkHealth)
	}
}

// checkHealth pings the server until it replies. If it does not
// reply, it is marked down.
func (srv *server) checkHealth(ctx context.Context) {
	pause := newPause()
	for {
		err := srv.pingOnce(ctx)
		kind, reason := classify(err)
		switch {
		case ctx.Err() != nil:
			return
		case kind != kindSilent:
			srv.markUp() // it replies, if only with an error
			return
		}
		_ = srv.markDown(reason, err)
		srv.store.servers.refresh()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause.NextBackOff()):
		}
		if !srv.serves(ctx) {
			srv.store.noteRestart() // others have its keys now
			srv.markUp()
			return
		}
	}
}

func (srv *server) serves(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return srv.store.servers.serves(ctx, srv)
}

func (srv *server) pingOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return srv.ping(ctx)
}

// pingIdle pings on all idle connections at once, and succeeds if there is a reply
// on each. When a network has dropped connections silently, each of them would
// otherwise cost one call its Timeout.
func (srv *server) pingIdle(ctx context.Context) error {
	errs := make([]error, 1+min(int(srv.client.PoolStats().IdleConns), maxPings))
	var pings sync.WaitGroup
	for i := range errs {
		pings.Go(func() { errs[i] = srv.client.Process(ctx, newCommand(ctx, "ping")) })
	}
	pings.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// markUp notes that the server can be reached, or need not be. Followers of its
// histories may have missed something.
func (srv *server) markUp() {
	srv.mu.Lock()
	was := srv.down != nil
	srv.down, srv.pinging, srv.fit = nil, false, srv.fit && !was
	srv.mu.Unlock()
	if was {
		srv.store.following.serverIsBack(srv)
	}
}

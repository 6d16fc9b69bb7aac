package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
)

// server is a Redis server and whether it can be reached. As soon as it cannot,
// calls fail at once, and one goroutine asks it for a sign of life until there
// is one. So nobody waits for a server that is known not to answer.
type server struct {
	store  *Store
	name   string          // in errors: "the server at …"
	client *goredis.Client // nil for a cluster as a whole
	// sign asks for a sign of life.
	sign func(ctx context.Context) error

	// examining holds an element while somebody examines the server.
	examining chan struct{}

	// mu guards everything below.
	mu       sync.Mutex
	down     error  // what calls fail with while the server cannot be reached
	probing  bool   // somebody asks it for a sign of life
	examined bool   // it was found fit
	runID    string // of the run of the server's program that was last noticed
	warned   string
}

// Of the goroutine that asks an unreachable server for a sign of life.
const (
	probeTimeout = time.Second
	// maxProbes bounds the connections that are asked at once.
	maxProbes = 64
)

func newServer(store *Store, name string, client *goredis.Client) *server {
	v := &server{store: store, name: name, client: client, examining: make(chan struct{}, 1)}
	v.sign = v.ping
	return v
}

// unreachable is what calls fail with while the server cannot be reached.
func (v *server) unreachable() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.down
}

// failed is the error to return for a command that failed with err, whose
// context was ctx but for the store's own timeout.
func (v *server) failed(ctx context.Context, err error) error {
	if err := over(ctx); err != nil {
		// The caller gave up, which proves nothing. But there may be a reason.
		v.suspect()
		return err
	}
	verdict, reason := judge(err)
	switch {
	case errors.Is(err, replay.ErrUnavailable), errors.Is(err, replay.ErrClosed), errors.Is(err, ErrRefused):
		return err // it comes from here
	case verdict == verdictSilent:
		return v.lose(reason, err)
	case verdict == verdictBusy:
		v.suspect()
		return unavailable(v.name, reason, err)
	case verdict == verdictRefused:
		return refused(v.name, reason, err)
	case verdict == verdictClosed:
		return closed(reason)
	case verdict == verdictDamaged:
		return fmt.Errorf("redis: %w: %s: %w", ErrDamaged, reason, err)
	}
	return fmt.Errorf("redis: %s: %w", v.name, err)
}

// over is why the caller has given up, nil if he has not. A connection, which
// has the context's deadline, may notice before the context does.
func over(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// lose notes that the server cannot be reached.
func (v *server) lose(reason string, err error) error {
	v.mu.Lock()
	if v.down == nil {
		v.down = unavailable(v.name, reason+"; see that it runs and can be reached from here. The store goes on by itself when it answers", err)
	}
	down := v.down
	v.mu.Unlock()
	v.suspect()
	return down
}

// suspect has the server asked for a sign of life.
func (v *server) suspect() {
	v.mu.Lock()
	begin := !v.probing
	v.probing = true
	v.mu.Unlock()
	if begin {
		v.store.spawn(v.probe)
	}
}

// probe asks the server for a sign of life until there is one. A server that
// was only suspected is unreachable as soon as there is none.
func (v *server) probe(ctx context.Context) {
	pause := newPause()
	for {
		err := v.live(ctx)
		verdict, reason := judge(err)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil || verdict != verdictSilent:
			v.found() // it answers, whatever it says
			return
		}
		_ = v.lose(reason, err)
		v.store.servers.refresh()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause.NextBackOff()):
		}
		if !v.serves(ctx) {
			v.store.noteRestart() // others have its keys now
			v.found()
			return
		}
	}
}

func (v *server) serves(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return v.store.servers.serves(ctx, v)
}

func (v *server) live(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return v.sign(ctx)
}

// ping asks for a sign of life on all idle connections at once, and succeeds if
// there is one on each. When a network has dropped connections without a word,
// each of them would otherwise cost some call its Timeout.
func (v *server) ping(ctx context.Context) error {
	errs := make([]error, 1+min(int(v.client.PoolStats().IdleConns), maxProbes))
	var pings sync.WaitGroup
	for i := range errs {
		pings.Go(func() { errs[i] = v.client.Process(ctx, newCommand(ctx, "ping")) })
	}
	pings.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// found notes that the server can be reached, or need not be. Whoever follows
// a history that it has may have missed something.
func (v *server) found() {
	v.mu.Lock()
	was := v.down != nil
	v.down, v.probing, v.examined = nil, false, v.examined && !was
	v.mu.Unlock()
	if was {
		v.store.following.lookAgain(v)
	}
}

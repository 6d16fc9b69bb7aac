package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
)

// Store keeps histories in Redis. It is safe for any number of goroutines, and
// for any number of processes with Stores of the same prefix on the same
// servers.
//
// It runs no goroutine before something is followed or a server cannot be
// reached.
type Store struct {
	settings  settings
	name      string // of this Store among those of other processes
	naming    naming
	clustered bool
	// obedient says that the client ends calls when their contexts end.
	obedient  bool
	servers   servers
	following *following
	// publish is the command that announces.
	publish string
	// deaf says that it was logged that announcements do not work.
	deaf atomic.Bool

	// ctx ends with the store.
	ctx    context.Context
	cancel context.CancelFunc
	owned  sync.WaitGroup

	// mu guards everything below, and that owned grows no more after closed.
	mu     sync.Mutex
	closed bool
	// restarted is when this Store last noticed that a server was restarted or
	// replaced by another one.
	restarted time.Time
}

var (
	_ replay.Store    = (*Store)(nil)
	_ replay.Follower = (*Store)(nil)
)

// New returns a store on the servers behind the client, which is a
// *goredis.Client (also one made by NewFailoverClient) or a
// *goredis.ClusterClient. Nil options are the defaults. The client stays the
// caller's, who closes it after the store.
//
// A client made with ContextTimeoutEnabled is the better one: with another, a
// call that ends with its context leaves a goroutine behind until the client
// gives up, and Close waits for those.
//
// The servers need not be there yet. Whether they are fit is found out when
// they are first used: calls fail with ErrRefused if they are not.
func New(client goredis.UniversalClient, options *Options) (*Store, error) {
	settings, err := options.settings()
	if err != nil {
		return nil, err
	}
	s := &Store{settings: settings, name: rand.Text(), publish: "PUBLISH", naming: naming{prefix: settings.prefix}}
	var patience time.Duration
	switch client := client.(type) {
	case *goredis.Client:
		s.obedient, patience = client.Options().ContextTimeoutEnabled, client.Options().ReadTimeout
		s.naming.database = client.Options().DB
		s.servers = lone{newServer(s, "the server at "+client.Options().Addr, client)}
	case *goredis.ClusterClient:
		s.obedient, patience = client.Options().ContextTimeoutEnabled, client.Options().ReadTimeout
		s.clustered, s.publish = true, "SPUBLISH"
		s.servers = newCluster(s, client)
	default:
		return nil, fmt.Errorf("redis: the client is a %T; use a *redis.Client or a *redis.ClusterClient of go-redis", client)
	}
	if settings.waitReplicas > 0 && patience > 0 && settings.waitTimeout >= patience {
		return nil, fmt.Errorf("redis: WaitTimeout is %v; use a time shorter than the client's ReadTimeout, which is %v", settings.waitTimeout, patience)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.following = newFollowing(s)
	return s, nil
}

// Close ends all following and waits for calls of tell that are under way; tell
// must not call it. Calls of the store that begin afterwards fail with
// replay.ErrClosed. It always returns nil and may be called again.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.following.close()
	s.owned.Wait()
	return nil
}

// spawn runs do until the store is closed, and not at all if it is.
func (s *Store) spawn(do func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.owned.Go(func() { do(s.ctx) })
	}
	return !s.closed
}

// usable returns nil if a call may begin.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.ctx.Err() != nil {
		return replay.ErrClosed
	}
	return nil
}

// bytesPerSecond is what a server takes in at least.
const bytesPerSecond = 32 << 20

// within bounds how long a server may take to answer.
func (s *Store) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return s.withinFor(ctx, 0)
}

// withinFor allows for the size of what the server is sent.
func (s *Store) withinFor(ctx context.Context, size int) (context.Context, context.CancelFunc) {
	if s.settings.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.settings.timeout+time.Duration(size)*time.Second/bytesPerSecond)
}

// eval has the server of a history do a call. Where the connection broke, it
// does so once more: the scripts may all be repeated.
func (s *Store) eval(ctx context.Context, c *call) (any, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	bounded, cancel := s.withinFor(ctx, c.size)
	defer cancel()
	v, err := s.servers.of(bounded, c.keys.head)
	c.server = v
	if err == nil {
		err = v.ready(bounded)
	}
	if err != nil {
		return nil, v.failed(ctx, err)
	}
	run := s.run
	if s.settings.waitReplicas > 0 && c.script == appendScript {
		run = s.runAndWait
	}
	answer, err := run(bounded, v, c)
	if err != nil && isCut(err) {
		answer, err = run(bounded, v, c)
	}
	if err != nil {
		return nil, v.failed(ctx, err)
	}
	return answer, nil
}

func (s *Store) run(ctx context.Context, _ *server, c *call) (any, error) {
	return s.evalOn(ctx, s.servers.process, c)
}

// processor has a server process a command.
type processor func(ctx context.Context, command goredis.Cmder) error

// evalOn runs a script, and sends its source where the server does not know it.
func (s *Store) evalOn(ctx context.Context, process processor, c *call) (any, error) {
	answer, err := s.ask(ctx, process, c.byHash()...)
	if err != nil && isAnswer(err, "NOSCRIPT") {
		return s.ask(ctx, process, c.bySource()...)
	}
	return answer, err
}

// ask sends a command and returns the answer, or the context's error when that
// ends first.
func (s *Store) ask(ctx context.Context, process processor, args ...any) (any, error) {
	command := newCommand(ctx, args...)
	if s.obedient {
		err := process(ctx, command)
		return command.Val(), err
	}
	answered := make(chan error, 1)
	if !s.spawn(func(context.Context) { answered <- process(ctx, command) }) {
		return nil, replay.ErrClosed
	}
	select {
	case err := <-answered:
		return command.Val(), err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

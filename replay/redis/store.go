package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
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
	options   Options
	name      string // of this Store among those of other processes
	naming    naming
	servers   servers
	clustered bool
	publish   string // the command that announces
	following *following

	// ctx ends with the store.
	ctx    context.Context
	cancel context.CancelFunc
	owned  sync.WaitGroup

	// mu guards everything below, and that owned does not grow after closed.
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
// *goredis.ClusterClient, made with ContextTimeoutEnabled so that calls end with
// their contexts. Nil options are the defaults. The client stays the caller's,
// who closes it after the store.
//
// The servers need not be there yet. What they and the user must have (see the
// package documentation) is checked when they are first reached: calls fail with
// ErrRefused if something is missing.
func New(client goredis.UniversalClient, options *Options) (*Store, error) {
	filled, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{options: filled, name: rand.Text(), naming: naming{prefix: filled.Prefix}, publish: "PUBLISH"}
	var contexts bool
	var readTimeout time.Duration
	switch client := client.(type) {
	case *goredis.Client:
		contexts, readTimeout = client.Options().ContextTimeoutEnabled, client.Options().ReadTimeout
		s.naming.database = client.Options().DB
		s.servers = single{newServer(s, "the server at "+client.Options().Addr, client)}
	case *goredis.ClusterClient:
		contexts, readTimeout = client.Options().ContextTimeoutEnabled, client.Options().ReadTimeout
		s.clustered, s.publish = true, "SPUBLISH"
		s.servers = newCluster(s, client)
	default:
		return nil, fmt.Errorf("redis: the client is a %T; use a *redis.Client or a *redis.ClusterClient of go-redis", client)
	}
	if !contexts {
		return nil, fmt.Errorf("redis: the client does not end calls with their contexts; set ContextTimeoutEnabled in its options")
	}
	if filled.WaitReplicas > 0 && readTimeout > 0 && filled.WaitTimeout >= readTimeout {
		return nil, fmt.Errorf("redis: Options.WaitTimeout is %v; use a time shorter than the client's ReadTimeout, which is %v", filled.WaitTimeout, readTimeout)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.following = newFollowing(s)
	return s, nil
}

// Close ends all following and waits for calls of notify that are under way;
// notify must not call it. Calls of the store that begin afterwards fail with
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

// start runs do in a goroutine that Close ends and waits for, unless the store is
// closed.
func (s *Store) start(do func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.owned.Go(func() { do(s.ctx) })
	}
}

// checkOpen returns nil if a call may begin.
func (s *Store) checkOpen(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.ctx.Err() != nil {
		return replay.ErrClosed
	}
	return nil
}

// withTimeout bounds how long a server may take to reply.
func (s *Store) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return s.withTimeoutFor(ctx, 0)
}

// bytesPerSecond is how much a server receives at least.
const bytesPerSecond = 32 << 20

// withTimeoutFor allows for the size of what the server is sent.
func (s *Store) withTimeoutFor(ctx context.Context, size int) (context.Context, context.CancelFunc) {
	if s.options.Timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.options.Timeout+time.Duration(size)*time.Second/bytesPerSecond)
}

// eval runs a script on the server of a history. If the connection broke, it runs
// it again: all scripts may be repeated.
func (s *Store) eval(ctx context.Context, c *call) (any, error) {
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	bounded, cancel := s.withTimeoutFor(ctx, c.size)
	defer cancel()
	server, err := s.servers.of(bounded, c.keys.head)
	c.server = server
	if err == nil {
		err = server.ready(bounded)
	}
	if err != nil {
		return nil, server.failed(ctx, err)
	}
	run := s.run
	if s.options.WaitReplicas > 0 && c.script == appendScript {
		run = s.runAndWait
	}
	result, err := run(bounded, server, c)
	if err != nil && isBroken(err) {
		c.repeat(err)
		result, err = run(bounded, server, c)
	}
	if err != nil {
		return nil, server.failed(ctx, err)
	}
	return result, nil
}

func (s *Store) run(ctx context.Context, _ *server, c *call) (any, error) {
	return evalOn(ctx, s.servers.process, c)
}

// processor has a server process a command.
type processor func(ctx context.Context, command goredis.Cmder) error

// evalOn runs a script, and sends its source if the server does not know it.
func evalOn(ctx context.Context, process processor, c *call) (any, error) {
	result, err := do(ctx, process, c.byHash()...)
	if err != nil && isReply(err, "NOSCRIPT") {
		return do(ctx, process, c.bySource()...)
	}
	return result, err
}

// do sends a command and returns what the server replies.
func do(ctx context.Context, process processor, args ...any) (any, error) {
	command := newCommand(ctx, args...)
	err := process(ctx, command)
	return command.Val(), err
}

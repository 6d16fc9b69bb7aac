// Package storeurl opens a store by a text, for a flag or an environment variable by which
// operators choose where histories are kept.
//
//	mem:                in memory, package replay
//	bolt:FILE           in a file that one process has open, package replay/bolt
//	redis://HOST:PORT   in a Redis server that processes share, package replay/redis;
//	                    rediss:// and unix:// too, as github.com/redis/go-redis/v9 parses them
package storeurl

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/redis"
)

// Store is a store that its opener closes. One on Redis is a replay.Follower too.
type Store interface {
	replay.Store
	// Close closes the store and its connections. Close the managers on it before.
	Close() error
}

// Options has the options of each kind of store, of which Open uses one. Nil or the zero
// value is good.
type Options struct {
	Memory replay.MemoryOptions
	Bolt   bolt.Options
	Redis  redis.Options
	// Logger is that of Bolt and Redis where they have none. Default: none.
	Logger *slog.Logger
}

// ErrInvalid: a text names no store.
var ErrInvalid = errors.New("invalid store")

// Open opens the store that a text names. A Redis server need not be reachable yet. It
// fails with ErrInvalid, or as the store's own package says.
func Open(text string, options *Options) (Store, error) {
	var o Options
	if options != nil {
		o = *options
	}
	o.Bolt.Logger, o.Redis.Logger = cmp.Or(o.Bolt.Logger, o.Logger), cmp.Or(o.Redis.Logger, o.Logger)
	scheme, rest, _ := strings.Cut(text, ":")
	switch {
	case scheme == "mem" && rest == "":
		return opened(replay.NewMemory(&o.Memory))
	case scheme == "bolt" && rest == "":
		return nil, fmt.Errorf("%w: bolt: needs a file, as in bolt:data.db", ErrInvalid)
	case scheme == "bolt":
		return opened(bolt.Open(rest, &o.Bolt))
	case scheme == "redis", scheme == "rediss", scheme == "unix":
		return openRedis(text, &o.Redis)
	}
	return nil, fmt.Errorf("%w %q: use mem:, bolt:FILE or redis://HOST:PORT", ErrInvalid, text)
}

// opened is for constructors, which return a nil pointer with an error.
func opened[S Store](store S, err error) (Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

// redisStore closes the client with the store.
type redisStore struct {
	*redis.Store
	client *goredis.Client
}

func (s redisStore) Close() error { return errors.Join(s.Store.Close(), s.client.Close()) }

func openRedis(url string, options *redis.Options) (Store, error) {
	parsed, err := goredis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	parsed.ContextTimeoutEnabled = true
	client := goredis.NewClient(parsed)
	store, err := redis.New(client, options)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return redisStore{store, client}, nil
}

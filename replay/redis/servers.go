package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// servers are what is behind a client: one server, or the masters of a cluster.
type servers interface {
	// of finds the server that has a key. If it fails, the server is the one to
	// blame.
	of(ctx context.Context, key string) (*server, error)
	// whole stands for all of them where none in particular is to blame.
	whole() *server
	// all returns every server that has histories. If it fails, whole is to blame.
	all(ctx context.Context) ([]*server, error)
	// process runs a command on the server that has its keys.
	process(ctx context.Context, command goredis.Cmder) error
	// refresh says that keys may have moved from one server to another.
	refresh()
	// serves reports whether the server has any keys. It may say that it does
	// where that cannot be told.
	serves(ctx context.Context, v *server) bool
}

// command is a command that the client does not send again by itself: whether
// that is right is decided here.
type command struct{ *goredis.Cmd }

func newCommand(ctx context.Context, args ...any) command {
	return command{goredis.NewCmd(ctx, args...)}
}

// NoRetry is what the client asks a command.
func (command) NoRetry() bool { return true }

// lone is one server, or whichever is the master of those that Sentinels watch.
type lone struct{ server *server }

func (l lone) of(context.Context, string) (*server, error) { return l.server, nil }
func (l lone) all(context.Context) ([]*server, error)      { return []*server{l.server}, nil }
func (l lone) whole() *server                              { return l.server }
func (l lone) refresh()                                    {}
func (l lone) serves(context.Context, *server) bool        { return true }

func (l lone) process(ctx context.Context, command goredis.Cmder) error {
	return l.server.client.Process(ctx, command)
}

// cluster are the masters of a Redis Cluster.
type cluster struct {
	store  *Store
	client *goredis.ClusterClient
	// itself is to blame where no master is known.
	itself *server

	// mu guards servers.
	mu      sync.Mutex
	servers map[*goredis.Client]*server
}

func newCluster(store *Store, client *goredis.ClusterClient) *cluster {
	c := &cluster{store: store, client: client, servers: make(map[*goredis.Client]*server)}
	c.itself = newServer(store, fmt.Sprintf("the cluster at %v", client.Options().Addrs), nil)
	c.itself.sign = func(ctx context.Context) error {
		_, err := c.masters(ctx)
		return err
	}
	return c
}

func (c *cluster) of(ctx context.Context, key string) (*server, error) {
	if err := c.itself.unreachable(); err != nil {
		return c.itself, err
	}
	client, err := c.client.MasterForKey(ctx, key)
	if err != nil {
		return c.itself, err
	}
	return c.server(client), nil
}

func (c *cluster) whole() *server { return c.itself }

// server is the server behind a client of a single server.
func (c *cluster) server(client *goredis.Client) *server {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.servers[client]
	if v == nil {
		v = newServer(c.store, "the server at "+client.Options().Addr, client)
		c.servers[client] = v
	}
	return v
}

func (c *cluster) all(ctx context.Context) ([]*server, error) {
	if err := c.itself.unreachable(); err != nil {
		return nil, err
	}
	clients, err := c.masters(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*server, len(clients))
	for i, client := range clients {
		all[i] = c.server(client)
	}
	return all, nil
}

// masters asks the cluster which masters it has.
func (c *cluster) masters(ctx context.Context) (clients []*goredis.Client, err error) {
	var mu sync.Mutex
	err = c.client.ForEachMaster(ctx, func(_ context.Context, client *goredis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		clients = append(clients, client)
		return nil
	})
	if err == nil && len(clients) == 0 {
		err = errors.New("the cluster has no master")
	}
	return clients, err
}

func (c *cluster) process(ctx context.Context, command goredis.Cmder) error {
	return c.client.Process(ctx, command)
}

func (c *cluster) refresh() { c.client.ReloadState(context.Background()) }

func (c *cluster) serves(ctx context.Context, v *server) bool {
	if v == c.itself {
		return true
	}
	clients, err := c.masters(ctx)
	if err != nil || slices.Contains(clients, v.client) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.servers, v.client)
	return false
}

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
	// of finds the server that has a key. If it fails, it returns the server to
	// which the error is attributed.
	of(ctx context.Context, key string) (*server, error)
	// asOne stands for all of them, for errors that are attributed to none in
	// particular.
	asOne() *server
	// all returns every server that has histories.
	all(ctx context.Context) ([]*server, error)
	// process runs a command on the server that has its keys.
	process(ctx context.Context, command goredis.Cmder) error
	// refresh has the client learn which server has which keys.
	refresh()
	// serves reports whether the server has any keys; true if that is not known.
	serves(ctx context.Context, srv *server) bool
}

// command is a command that the client does not send again by itself: this package
// decides what may be repeated.
type command struct{ *goredis.Cmd }

func newCommand(ctx context.Context, args ...any) command {
	return command{goredis.NewCmd(ctx, args...)}
}

// NoRetry is what the client asks a command.
func (command) NoRetry() bool { return true }

// single is one server, or the current master of those that Sentinels watch.
type single struct{ server *server }

func (s single) of(context.Context, string) (*server, error) { return s.server, nil }
func (s single) all(context.Context) ([]*server, error)      { return []*server{s.server}, nil }
func (s single) asOne() *server                              { return s.server }
func (s single) refresh()                                    {}
func (s single) serves(context.Context, *server) bool        { return true }

func (s single) process(ctx context.Context, command goredis.Cmder) error {
	return s.server.client.Process(ctx, command)
}

// cluster are the masters of a Redis Cluster.
type cluster struct {
	store  *Store
	client *goredis.ClusterClient
	// itself has the errors and the health of the cluster where no master is known.
	itself *server

	// mu guards servers.
	mu      sync.Mutex
	servers map[*goredis.Client]*server
}

func newCluster(store *Store, client *goredis.ClusterClient) *cluster {
	c := &cluster{store: store, client: client, servers: make(map[*goredis.Client]*server)}
	c.itself = newServer(store, fmt.Sprintf("the cluster at %v", client.Options().Addrs), nil)
	c.itself.ping = func(ctx context.Context) error {
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

func (c *cluster) asOne() *server { return c.itself }

// server is the server behind a client of a single server.
func (c *cluster) server(client *goredis.Client) *server {
	c.mu.Lock()
	defer c.mu.Unlock()
	srv := c.servers[client]
	if srv == nil {
		srv = newServer(c.store, "the server at "+client.Options().Addr, client)
		c.servers[client] = srv
	}
	return srv
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

func (c *cluster) serves(ctx context.Context, srv *server) bool {
	if srv == c.itself {
		return true
	}
	clients, err := c.masters(ctx)
	if err != nil || slices.Contains(clients, srv.client) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.servers, srv.client)
	return false
}

package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/sharedata"
)

// redisServer is a Redis server. Every server reaches it through its own proxy.
type redisServer struct {
	process *redistest.Process
	proxies []*proxy
	client  *goredis.Client
	store   *redis.Store
}

func openRedis(o Options) (backend, error) {
	dir := filepath.Join(o.Dir, "redis")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	// Redis writes its append-only file before it acknowledges a command.
	process, err := redistest.Launch(dir, &redistest.Options{Fsync: "always"})
	if err != nil {
		return nil, err
	}
	r := &redisServer{process: process, client: process.Client()}
	if r.store, err = redis.New(r.client, nil); err != nil {
		return nil, errors.Join(err, r.close())
	}
	for range o.Processes {
		p, err := newProxy(process.Addr)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.proxies = append(r.proxies, p)
	}
	return r, nil
}

func (r *redisServer) flag(server int) string { return "redis://" + r.proxies[server].addr() }

func (r *redisServer) proxy(server int) *proxy { return r.proxies[server] }

func (r *redisServer) inject(d *driver, e event) error {
	switch e.fault {
	case FaultRedisKill:
		if err := r.process.Kill(); err != nil {
			return err
		}
		d.sleep(e.lasts)
		return r.process.Restart()
	case FaultRedisPause:
		if err := r.process.Pause(); err != nil {
			return err
		}
		d.sleep(e.lasts)
		return r.process.Resume()
	case FaultRedisFlush:
		for _, id := range d.ids {
			if entries, err := r.history(d.ctx, id); err == nil {
				d.recorder.PartialHistory(entries)
			}
		}
		lost := d.losing()
		defer lost()
		return r.process.Flush()
	}
	return fmt.Errorf("there is no %q here", e.fault)
}

// losing returns a function that does nothing: Redis loses nothing with a server.
func (r *redisServer) losing(*driver) func() { return func() {} }

// history reads what Redis has, through a manager that has nothing in memory.
func (r *redisServer) history(ctx context.Context, id string) (entries []sharedata.Entry, err error) {
	err = r.manage(func(m *sharedata.Manager) error {
		for e, err := range m.History(ctx, id, replay.Cursor{}) {
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
		return nil
	})
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("the history of %s is empty", id)
	}
	return entries, err
}

func (r *redisServer) snapshot(ctx context.Context, id string) (snapshot sharedata.Snapshot, err error) {
	err = r.manage(func(m *sharedata.Manager) error {
		snapshot, err = m.Get(ctx, id)
		return err
	})
	return snapshot, err
}

// manage calls do with a new manager.
func (r *redisServer) manage(do func(*sharedata.Manager) error) error {
	manager, err := sharedata.NewManager(&sharedata.Options{Store: r.store})
	if err != nil {
		return err
	}
	return errors.Join(do(manager), manager.Close())
}

// verifyStored restarts Redis, which reads its append-only file.
func (r *redisServer) verifyStored(d *driver) error {
	if err := r.process.Restart(); err != nil {
		return err
	}
	return verifyStore(d, r.store)
}

func (r *redisServer) close() error {
	var err error
	if r.store != nil {
		err = r.store.Close()
	}
	for _, p := range r.proxies {
		p.close()
	}
	return errors.Join(err, r.process.Stop())
}

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

// redisServer is a Redis server that every server reaches through a proxy of its
// own.
type redisServer struct {
	process *redistest.Process
	lines   []*proxy
	client  *goredis.Client
	store   *redis.Store
}

func openRedis(o Options) (medium, error) {
	dir := filepath.Join(o.Dir, "redis")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	// The file is written before anything is acknowledged.
	process, err := redistest.Launch(dir, &redistest.Options{Fsync: "always"})
	if err != nil {
		return nil, err
	}
	r := &redisServer{process: process, client: process.Client()}
	if r.store, err = redis.New(r.client, nil); err != nil {
		return nil, errors.Join(err, r.close())
	}
	for range o.Processes {
		line, err := newProxy(process.Addr)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.lines = append(r.lines, line)
	}
	return r, nil
}

func (r *redisServer) flag(server int) string { return "redis://" + r.lines[server].addr() }

func (r *redisServer) line(server int) *proxy { return r.lines[server] }

func (r *redisServer) cause(w *world, e event) error {
	switch e.fault {
	case FaultRedisKill:
		if err := r.process.Kill(); err != nil {
			return err
		}
		w.sleep(e.lasts)
		return r.process.Restart()
	case FaultRedisPause:
		if err := r.process.Pause(); err != nil {
			return err
		}
		w.sleep(e.lasts)
		return r.process.Resume()
	case FaultRedisFlush:
		for _, id := range w.ids {
			if entries, err := r.history(w.ctx, id); err == nil {
				w.recorder.PartialHistory(entries)
			}
		}
		lost := w.losing()
		defer lost()
		return r.process.Flush()
	}
	return fmt.Errorf("there is no %q here", e.fault)
}

// losing is about the end of a server, with which Redis loses nothing.
func (r *redisServer) losing(*world) func() { return func() {} }

// history is what Redis has, and not what a server or the manager remembers: a
// manager reads from its store what it has not loaded.
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

// manage calls do with a manager that has not loaded anything.
func (r *redisServer) manage(do func(*sharedata.Manager) error) error {
	manager, err := sharedata.NewManager(&sharedata.Options{Store: r.store})
	if err != nil {
		return err
	}
	return errors.Join(do(manager), manager.Close())
}

// examine kills and restarts Redis: what was acknowledged is in its file.
func (r *redisServer) examine(w *world) error {
	if err := r.process.Restart(); err != nil {
		return err
	}
	return examine(w, r.store)
}

func (r *redisServer) close() error {
	var err error
	if r.store != nil {
		err = r.store.Close()
	}
	for _, line := range r.lines {
		line.close()
	}
	return errors.Join(err, r.process.Stop())
}

package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
)

// maxChecked is how many positions are read in one step.
const maxChecked = 256

// check reads the position of each followed history once per CheckInterval, some
// at a time and spread over the interval, and notifies its followers with nil if
// the history is elsewhere than they were notified. It also notifies those in
// refresh.
func (f *following) check(ctx context.Context) {
	interval := f.store.options.CheckInterval
	var round []*subscription
	var tick <-chan time.Time
	step := interval
	if interval > 0 {
		tick = time.After(step)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wakeCheck:
			for some := f.takeRefresh(); len(some) > 0 && ctx.Err() == nil; some = f.takeRefresh() {
				f.readPositions(ctx, some, true)
			}
		case <-tick:
			if len(round) == 0 {
				round = f.all()
				step = interval / time.Duration(1+len(round)/maxChecked)
			}
			n := min(len(round), maxChecked)
			f.readPositions(ctx, round[:n], false)
			round = round[n:]
			tick = time.After(step)
		}
	}
}

func (f *following) takeRefresh() []*subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.refresh), maxChecked)
	some := f.refresh[:n:n]
	if f.refresh = f.refresh[n:]; len(f.refresh) == 0 {
		f.refresh = nil
	}
	return some
}

func (f *following) all() []*subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*subscription, 0, len(f.subscriptions))
	for _, t := range f.subscriptions {
		all = append(all, t)
	}
	return all
}

// readPositions reads where histories are, and notifies the followers of those
// that are elsewhere than they were notified, or of all.
func (f *following) readPositions(ctx context.Context, subscriptions []*subscription, all bool) {
	at := make(map[*server][]*subscription)
	for _, t := range subscriptions {
		if f.store.options.CheckInterval == 0 {
			at[nil] = append(at[nil], t)
		} else if server, err := f.serverOf(ctx, t); err == nil {
			at[server] = append(at[server], t)
		} else {
			_ = server.failed(ctx, err)
			at[nil] = append(at[nil], t)
		}
	}
	for server, some := range at {
		follows := f.compare(ctx, server, some, all)
		if ctx.Err() == nil {
			notify(follows, nil)
		}
	}
}

// compare returns who is to be notified. The server is nil if it is not known or
// not to be asked.
func (f *following) compare(ctx context.Context, server *server, subscriptions []*subscription, all bool) (follows []*follow) {
	changes := make([]uint64, len(subscriptions))
	f.mu.Lock()
	for i, t := range subscriptions {
		changes[i] = t.changes
		if t.conn != nil && server != nil && t.conn.server != server {
			// The history has moved to another server.
			f.unsubscribeLocked(t)
			f.unassignLocked(t)
		}
	}
	f.mu.Unlock()
	var versions []version
	if server != nil {
		var err error
		if versions, err = server.versions(ctx, subscriptions); err != nil {
			// A server that refuses may not announce either, and the followers learn
			// why by their calls.
			all = errors.Is(server.failed(ctx, err), ErrRefused) || all
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, t := range subscriptions {
		differs := false
		// What was learned meanwhile may be later than what the server said.
		if versions != nil && t.changes == changes[i] {
			differs = !t.known || t.version != versions[i]
			t.version, t.known = versions[i], true
		}
		if differs || all {
			follows = append(follows, t.follows...)
		}
	}
	return follows
}

// versions asks the server where histories are. Where it does not say of one, its
// version is one that no history has.
func (srv *server) versions(ctx context.Context, subscriptions []*subscription) ([]version, error) {
	ctx, cancel := srv.store.withTimeout(ctx)
	defer cancel()
	if err := srv.ready(ctx); err != nil {
		return nil, err
	}
	conn := srv.client.Conn() // the client has other connections for pipelines, of which some may be dead
	defer conn.Close()
	commands, err := conn.Pipelined(ctx, func(pipeline goredis.Pipeliner) error {
		for _, t := range subscriptions {
			if err := pipeline.Process(ctx, newCommand(ctx, "hmget", t.head, "c", "t")); err != nil {
				return err
			}
		}
		return nil
	})
	if len(commands) < len(subscriptions) {
		return nil, err
	}
	versions := make([]version, len(subscriptions))
	for i, each := range commands {
		if err := each.Err(); err != nil {
			if kind, _ := classify(err); kind == kindSilent {
				return nil, err
			}
			versions[i] = version{token: err.Error()}
			continue
		}
		versions[i] = versionOf(each.(command).Val())
	}
	return versions, nil
}

func versionOf(result any) version {
	r := &reply{}
	r.items, _ = result.([]any)
	text, token := r.text(), r.text()
	cursor, err := replay.ParseCursor(text)
	if err != nil {
		token += text
	}
	return version{cursor: cursor, token: token}
}

package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
)

// maxChecked is how many heads are looked at in one step.
const maxChecked = 256

// check looks at each history that is followed now and then, a few at a time and
// spread over the interval, and has whoever follows it told where it is not as
// was told. It also looks at those whose followers are to be told in any case.
func (f *following) check(ctx context.Context) {
	interval := f.store.settings.checkInterval
	var round []*topic
	var tick <-chan time.Time
	step := interval
	if interval > 0 {
		tick = time.After(step)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.freshened:
			for ctx.Err() == nil {
				some := f.takeFresh()
				if len(some) == 0 {
					break
				}
				f.look(ctx, some, true)
			}
		case <-tick:
			if len(round) == 0 {
				round = f.all()
				step = interval / time.Duration(1+len(round)/maxChecked)
			}
			n := min(len(round), maxChecked)
			f.look(ctx, round[:n], false)
			round = round[n:]
			tick = time.After(step)
		}
	}
}

func (f *following) takeFresh() []*topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.fresh), maxChecked)
	some := f.fresh[:n:n]
	if f.fresh = f.fresh[n:]; len(f.fresh) == 0 {
		f.fresh = nil
	}
	return some
}

func (f *following) all() []*topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*topic, 0, len(f.topics))
	for _, t := range f.topics {
		all = append(all, t)
	}
	return all
}

// look finds out where the histories are, and has their followers told to look
// at those that are not as was told, or at all of them.
func (f *following) look(ctx context.Context, topics []*topic, tell bool) {
	if f.store.settings.checkInterval == 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, t := range topics {
			f.tellLocked(t, nil)
		}
		return
	}
	at := make(map[*server][]*topic)
	for _, t := range topics {
		if v, err := f.serverOf(ctx, t); err == nil {
			at[v] = append(at[v], t)
		} else {
			_ = v.failed(ctx, err)
		}
	}
	for v, topics := range at {
		f.lookAt(ctx, v, topics, tell)
	}
}

func (f *following) lookAt(ctx context.Context, v *server, topics []*topic, tell bool) {
	changes := make([]uint64, len(topics))
	f.mu.Lock()
	for i, t := range topics {
		changes[i] = t.changes
		if t.line != nil && t.line.server != v {
			// The history has moved to another server.
			f.leaveLocked(t)
			f.strayLocked(t)
		}
	}
	f.mu.Unlock()
	marks, err := v.marks(ctx, topics)
	if err != nil {
		_ = v.failed(ctx, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, t := range topics {
		if t.changes == changes[i] && err == nil {
			differs := !t.knows || t.known != marks[i]
			t.known, t.knows = marks[i], true
			if differs && !tell {
				f.tellLocked(t, nil)
			}
		}
		if tell {
			f.tellLocked(t, nil)
		}
	}
}

// marks asks the server where the histories are. Where it does not say of one,
// its mark is one that no history has.
func (v *server) marks(ctx context.Context, topics []*topic) ([]mark, error) {
	ctx, cancel := v.store.within(ctx)
	defer cancel()
	if err := v.ready(ctx); err != nil {
		return nil, err
	}
	conn := v.client.Conn() // the client has other connections for pipelines, of which some may be dead
	defer conn.Close()
	commands, err := conn.Pipelined(ctx, func(pipeline goredis.Pipeliner) error {
		for _, t := range topics {
			if err := pipeline.Process(ctx, newCommand(ctx, "hmget", t.keys.head, "c", "t")); err != nil {
				return err
			}
		}
		return nil
	})
	marks := make([]mark, len(topics))
	for i, each := range commands {
		if err := each.Err(); err != nil {
			if verdict, _ := judge(err); verdict == verdictSilent {
				return nil, err
			}
			marks[i] = mark{token: err.Error()}
			continue
		}
		marks[i] = markOf(each.(command).Val())
	}
	if len(commands) < len(topics) {
		return nil, err
	}
	return marks, nil
}

func markOf(answer any) mark {
	r := &reply{}
	r.items, _ = answer.([]any)
	text, token := r.text(), r.text()
	cursor, err := replay.ParseCursor(text)
	if err != nil {
		token += text
	}
	return mark{cursor: cursor, token: token}
}

package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// What is asked of a server at once.
const (
	// maxSubscribed is how many channels one command subscribes to.
	maxSubscribed = 500
	// maxUnheard is how many subscriptions may wait to be confirmed.
	maxUnheard = 2000
	// deafPause is how long to wait with a server that refuses to announce.
	deafPause = 10 * time.Second
)

var errLineClosed = errors.New("the connection is not needed any more")

// line is the one connection by which a server announces what is appended to
// the histories that it has and that are followed. When it breaks, it is built
// anew, and whoever follows is told to look: what was announced meanwhile has
// been missed.
type line struct {
	following *following
	server    *server
	wake      chan struct{}
	again     chan struct{} // has an element when the server is back

	// The rest is guarded by following.mu.

	topics map[*topic]struct{}
	joined []*topic       // to subscribe to
	gone   []string       // channels to unsubscribe from
	ending map[string]int // channels whose end the server was asked for, how often
	// unheard is how many subscriptions have not been confirmed.
	unheard int
}

func newLine(f *following, v *server) *line {
	return &line{
		following: f, server: v, wake: make(chan struct{}, 1), again: make(chan struct{}, 1),
		topics: make(map[*topic]struct{}), ending: make(map[string]int),
	}
}

// run keeps the connection up as long as the store is open and, in a cluster, as
// the server has a history that is followed.
func (l *line) run(ctx context.Context) {
	pause := newPause()
	for l.needed(ctx) {
		begun := time.Now()
		err := l.session(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := l.broke(ctx, err)
		if time.Since(begun) > lastAgainAfter {
			pause.Reset()
		}
		select {
		case <-ctx.Done():
		case <-l.again:
		case <-time.After(max(wait, pause.NextBackOff())):
		}
	}
}

// needed waits for the line to have a topic, or, in a cluster, ends it if it has
// none.
func (l *line) needed(ctx context.Context) bool {
	f := l.following
	for {
		f.mu.Lock()
		idle := len(l.topics) == 0
		over := idle && f.store.clustered
		if over {
			delete(f.lines, l.server)
		}
		f.mu.Unlock()
		switch {
		case over || ctx.Err() != nil:
			return false
		case !idle:
			return true
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		}
	}
}

// broke draws the consequences of the end of a session, and returns how long to
// wait at least before the next.
func (l *line) broke(ctx context.Context, err error) time.Duration {
	f := l.following
	f.mu.Lock()
	l.joined, l.gone, l.unheard = nil, nil, 0
	clear(l.ending)
	for t := range l.topics {
		t.sent, t.heard = false, false
		if f.store.clustered {
			// Another server may have it now.
			f.leaveLocked(t)
			f.strayLocked(t)
		} else {
			l.joined = append(l.joined, t)
		}
	}
	f.mu.Unlock()
	verdict, reason := judge(err)
	switch {
	case verdict == verdictRefused:
		if f.store.deaf.CompareAndSwap(false, true) {
			f.store.settings.logger.Warn("announcements do not work, so that what other processes append is learned late",
				"server", l.server.name, "reason", reason, "error", err)
		}
		return deafPause
	default:
		l.server.suspect()
		f.store.servers.refresh()
	}
	return 0
}

// session connects, subscribes and listens until something goes wrong.
func (l *line) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	conn := l.server.client.Subscribe(ctx)
	opening, opened := l.following.store.within(ctx)
	err := conn.Ping(opening) // which connects
	opened()
	var listener sync.WaitGroup
	if err == nil {
		failed := make(chan error, 1)
		listener.Go(func() { failed <- l.listen(ctx, conn) })
		err = l.keep(ctx, conn, failed)
	}
	cancel()
	_ = conn.Close()
	listener.Wait()
	return err
}

// keep subscribes and unsubscribes, and asks for signs of life, until something
// goes wrong.
func (l *line) keep(ctx context.Context, conn *goredis.PubSub, failed <-chan error) error {
	var tick <-chan time.Time
	if silence := l.following.store.settings.maxSilence; silence > 0 {
		ticker := time.NewTicker(max(silence/3, time.Millisecond))
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		if err := l.subscribe(ctx, conn); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errLineClosed
		case err := <-failed:
			return err
		case <-tick:
			if err := conn.Ping(ctx); err != nil {
				return err
			}
		case <-l.wake:
		}
	}
}

// subscribe tells the server which channels are listened to from now on.
func (l *line) subscribe(ctx context.Context, conn *goredis.PubSub) error {
	sharded := l.following.store.clustered
	for {
		gone, joined := l.changes()
		if len(gone) == 0 && len(joined) == 0 {
			return nil
		}
		if !sharded {
			if len(gone) > 0 {
				if err := conn.Unsubscribe(ctx, gone...); err != nil {
					return err
				}
			}
			if len(joined) > 0 {
				if err := conn.Subscribe(ctx, joined...); err != nil {
					return err
				}
			}
			continue
		}
		// A command may name channels of one slot only.
		for _, channel := range gone {
			if err := conn.SUnsubscribe(ctx, channel); err != nil {
				return err
			}
		}
		for _, channel := range joined {
			if err := conn.SSubscribe(ctx, channel); err != nil {
				return err
			}
		}
	}
}

// changes returns the channels to say next.
func (l *line) changes() (gone, joined []string) {
	l.following.mu.Lock()
	defer l.following.mu.Unlock()
	n := min(len(l.gone), maxSubscribed)
	gone, l.gone = l.gone[:n:n], l.gone[n:]
	for _, channel := range gone {
		l.ending[channel]++
	}
	for len(l.gone) == 0 && len(l.joined) > 0 && len(joined) < maxSubscribed && l.unheard < maxUnheard {
		t := l.joined[0]
		l.joined[0] = nil
		l.joined = l.joined[1:]
		if t.line == l && !t.sent {
			t.sent = true
			l.unheard++
			joined = append(joined, t.keys.channel)
		}
	}
	return gone, joined
}

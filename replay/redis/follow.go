package redis

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/replay"
)

// following is what a Store follows. It has these goroutines from the first
// Follow until the store is closed:
//
//   - assign finds the server of each history and gives the history to the pub/sub
//     connection to that server;
//   - connection.run, one for each server with followed histories, subscribes and
//     unsubscribes, and its reader calls notify with what is announced;
//   - check reads the positions of histories and calls notify with nil where
//     something may have been missed.
//
// No queue lies between a connection and notify, which does not block: what the
// reader has not read yet waits at the server, which closes a connection for which
// too much waits (client-output-buffer-limit pubsub). That is a lost connection
// like any other.
type following struct {
	store *Store
	// Each has an element when there may be something in unassigned or refresh.
	wakeAssign, wakeCheck chan struct{}

	// mu guards everything below, and the fields of subscriptions and connections.
	// It is not held while notify is called. The lock order is follow.mu,
	// following.mu, Store.mu.
	mu            sync.Mutex
	started       bool
	closed        bool
	subscriptions map[string]*subscription // by channel
	connections   map[*server]*connection
	unassigned    []*subscription // without a connection
	refresh       []*subscription // to be notified with nil
}

// subscription is a history that is followed. Its fields are guarded by
// following.mu.
type subscription struct {
	head    string // its key
	channel string
	// follows is replaced and never changed, so that notify can be called without
	// the lock.
	follows   []*follow
	conn      *connection // nil while unassigned
	sent      bool        // the server was sent the command
	confirmed bool        // the server has replied to it
	// version is where the history is as far as its followers were notified, if it
	// is known. changes counts what was learned about it.
	version version
	known   bool
	changes uint64
}

// follow is one call of Follow.
type follow struct {
	notify  func(entries []replay.Entry)
	stopped atomic.Bool
	// mu is held while notify is called.
	mu sync.Mutex
}

// version tells where a history is, and tells it from another one in its place: the
// head's position and the token of the batch that ends there. It is zero where
// there is no history.
type version struct {
	cursor replay.Cursor
	token  string
}

func newFollowing(store *Store) *following {
	return &following{
		store:         store,
		wakeAssign:    make(chan struct{}, 1),
		wakeCheck:     make(chan struct{}, 1),
		subscriptions: make(map[string]*subscription),
		connections:   make(map[*server]*connection),
	}
}

// Follow implements replay.Follower. It notifies of what any Store with the same
// prefix appends. A batch whose entries have more than 64 KiB comes as nil; its
// snapshot does not count.
func (s *Store) Follow(id string, notify func(entries []replay.Entry)) (stop func()) {
	f := s.following
	k := s.naming.keys(id)
	w := &follow{notify: notify}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return func() {}
	}
	f.startLocked()
	t := f.subscriptions[k.channel]
	if t == nil {
		t = &subscription{head: k.head, channel: k.channel}
		f.subscriptions[t.channel] = t
		f.unassignLocked(t)
	}
	t.follows = append(slices.Clip(t.follows), w)
	if t.confirmed {
		f.refreshLocked(t)
	}
	return func() { f.stop(t, w) }
}

func (f *following) startLocked() {
	if !f.started {
		f.started = true
		f.store.start(f.assign)
		f.store.start(f.check)
	}
}

// stop ends one Follow.
func (f *following) stop(t *subscription, w *follow) {
	w.stopped.Store(true)
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(t.follows, w)
	if i < 0 {
		return
	}
	t.follows = slices.Delete(slices.Clone(t.follows), i, i+1)
	if len(t.follows) == 0 {
		delete(f.subscriptions, t.channel)
		f.unsubscribeLocked(t)
	}
}

// close ends all following.
func (f *following) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, t := range f.subscriptions {
		for _, w := range t.follows {
			w.stopped.Store(true)
		}
		t.follows = nil
	}
	clear(f.subscriptions)
}

// follows reports whether this Store follows a history.
func (f *following) follows(channel string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subscriptions[channel] != nil
}

// notify calls one notify after the other. The lock is not held.
func notify(follows []*follow, entries []replay.Entry) {
	for _, w := range follows {
		w.mu.Lock()
		if !w.stopped.Load() {
			w.notify(entries)
		}
		w.mu.Unlock()
	}
}

// refreshLocked has the followers of a history notified with nil.
func (f *following) refreshLocked(t *subscription) {
	f.refresh = append(f.refresh, t)
	wake(f.wakeCheck)
}

// appended notes where a history is that this Store has appended to. Its followers
// in this process know.
func (f *following) appended(channel string, v version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.subscriptions[channel]; t != nil {
		t.learnLocked(v)
	}
}

// learnLocked notes where a history is, unless more is known already.
func (t *subscription) learnLocked(v version) {
	late := t.known && v.cursor.Epoch == t.version.cursor.Epoch && v.cursor.Revision < t.version.cursor.Revision
	if !late {
		t.version, t.known = v, true
		t.changes++
	}
}

// unassignLocked has assign find the server of a history.
func (f *following) unassignLocked(t *subscription) {
	f.unassigned = append(f.unassigned, t)
	wake(f.wakeAssign)
}

// assign gives each unassigned history to the connection to its server.
func (f *following) assign(ctx context.Context) {
	pause := newPause()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wakeAssign:
		case <-retry:
		}
		retry = nil
		if err := f.assignAll(ctx); err != nil {
			retry = time.After(pause.NextBackOff())
			continue
		}
		pause.Reset()
	}
}

// assignAll fails with the first history whose server cannot be found, and leaves
// it and those after it for the next time.
func (f *following) assignAll(ctx context.Context) error {
	f.mu.Lock()
	all := f.unassigned
	f.unassigned = nil
	f.mu.Unlock()
	for i, t := range all {
		server, err := f.serverOf(ctx, t)
		if err != nil {
			f.mu.Lock()
			f.unassigned = append(f.unassigned, all[i:]...)
			f.mu.Unlock()
			return server.failed(ctx, err)
		}
		f.mu.Lock()
		f.subscribeLocked(t, server)
		f.mu.Unlock()
	}
	return nil
}

func (f *following) serverOf(ctx context.Context, t *subscription) (*server, error) {
	ctx, cancel := f.store.withTimeout(ctx)
	defer cancel()
	return f.store.servers.of(ctx, t.head)
}

// serverIsBack has the followers of histories on a server notified with nil after
// it could not be reached.
func (f *following) serverIsBack(server *server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.connections {
		if c.server != server && server.client != nil {
			continue
		}
		wake(c.retry)
		for t := range c.subscriptions {
			if t.confirmed {
				f.refreshLocked(t)
			}
		}
	}
	wake(f.wakeAssign)
}

// wake puts an element into a channel that has room for one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package redis

import (
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// following knows who follows which history, and has them told. Three
// goroutines do it, and one more with a connection for each server: place finds
// the servers of histories, line.run listens to one of them, check looks for
// what was missed, and telling.run calls whoever follows.
type following struct {
	store   *Store
	telling *telling

	// strays and fresh, below, have elements where these do.
	strayed, freshened chan struct{}

	// mu guards everything below, and the fields of topics and lines.
	mu     sync.Mutex
	begun  bool // the goroutines run
	closed bool
	topics map[string]*topic // by channel
	lines  map[*server]*line
	// strays are topics without a line.
	strays []*topic
	// fresh are topics whose followers are to be told to look.
	fresh []*topic
}

// topic is a history that is followed. Its fields are guarded by following.mu.
type topic struct {
	keys    keys
	follows []*follow
	line    *line // nil: it is a stray
	sent    bool  // the server was told to subscribe
	heard   bool  // the server has confirmed it
	// known is where the history is as far as the followers were told, if knows.
	// changes counts how often it was set.
	known   mark
	knows   bool
	changes uint64
}

// mark tells where a history is, and tells it from another one in its place: the
// head's position and the token of the batch that ends there. It is zero where
// there is no history.
type mark struct {
	cursor replay.Cursor
	token  string
}

func newFollowing(store *Store) *following {
	return &following{
		store:     store,
		telling:   newTelling(),
		strayed:   make(chan struct{}, 1),
		freshened: make(chan struct{}, 1),
		topics:    make(map[string]*topic),
		lines:     make(map[*server]*line),
	}
}

// Follow implements replay.Follower. What any Store appends with the same prefix
// is told. A batch of more than 64 KiB is told as nil.
func (s *Store) Follow(id string, tell func(entries []replay.Entry)) (stop func()) {
	f := s.following
	k := s.naming.keys(id)
	w := &follow{tell: tell}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return func() {}
	}
	f.beginLocked()
	t := f.topics[k.channel]
	if t == nil {
		t = &topic{keys: k}
		f.topics[k.channel] = t
		f.strayLocked(t)
	}
	t.follows = append(t.follows, w)
	if t.heard {
		f.telling.push(w, nil)
	}
	return func() { f.end(t, w) }
}

func (f *following) beginLocked() {
	if !f.begun {
		f.begun = true
		f.store.spawn(f.telling.run)
		f.store.spawn(f.place)
		f.store.spawn(f.check)
	}
}

// end ends one Follow.
func (f *following) end(t *topic, w *follow) {
	f.telling.stop(w)
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(t.follows)
	t.follows = slices.DeleteFunc(t.follows, func(other *follow) bool { return other == w })
	if before > 0 && len(t.follows) == 0 {
		delete(f.topics, t.keys.channel)
		f.leaveLocked(t)
	}
}

// close ends all following.
func (f *following) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, t := range f.topics {
		for _, w := range t.follows {
			f.telling.stop(w)
		}
		t.follows = nil
	}
	clear(f.topics)
}

// strayLocked has a server found for the topic.
func (f *following) strayLocked(t *topic) {
	f.strays = append(f.strays, t)
	signal(f.strayed)
}

// leaveLocked takes the topic from its line.
func (f *following) leaveLocked(t *topic) {
	if t.line == nil {
		return
	}
	if t.sent {
		t.line.gone = append(t.line.gone, t.keys.channel)
		signal(t.line.wake)
	}
	delete(t.line.topics, t)
	t.line, t.sent, t.heard = nil, false, false
}

// freshLocked has those who follow the topic told to look.
func (f *following) freshLocked(t *topic) {
	f.fresh = append(f.fresh, t)
	signal(f.freshened)
}

// note notes where a history is that this store has appended to: whoever follows
// it knows.
func (f *following) note(channel string, at mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.topics[channel]; t != nil {
		t.noteLocked(at)
	}
}

// noteLocked passes over news that come late.
func (t *topic) noteLocked(at mark) {
	late := t.knows && at.cursor.Epoch == t.known.cursor.Epoch && at.cursor.Revision < t.known.cursor.Revision
	if !late {
		t.known, t.knows = at, true
		t.changes++
	}
}

// tellLocked tells all who follow the topic.
func (f *following) tellLocked(t *topic, entries []replay.Entry) {
	for _, w := range t.follows {
		f.telling.push(w, entries)
	}
}

// lookAgain tells whoever follows a history of the server to look, after the
// server was away.
func (f *following) lookAgain(v *server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.lines {
		if l.server != v && v.client != nil {
			continue
		}
		signal(l.again)
		for t := range l.topics {
			if t.heard {
				f.freshLocked(t)
			}
		}
	}
	signal(f.strayed)
}

// signal wakes whoever waits for the channel, which has room for one element.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

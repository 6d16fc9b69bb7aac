package realtime

import (
	"errors"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// feed takes one subscription from waiting to live. States and replays can be
// had again at any time, so it sends them only as fast as the peer takes them:
// a replay of any length needs no more than a part of the send buffer.
//
// One goroutine at a time has it: first the request queue, until the state is sent, then
// the session's feeder.
type feed struct {
	session *session
	sub     *subscription
	// problem says why nothing can be replayed; empty if that is not known.
	problem string
	// begun says that the state has been sent. What is to be replayed then goes
	// up to last; it is zero if nothing is. next is what has been read of it
	// and not been sent.
	begun bool
	last  replay.Cursor
	next  page
	// counted is how far it is known which entries the subscriber is not told
	// of, and silent are the revisions of those.
	counted replay.Cursor
	silent  []uint64
}

// start sends the state, for which it waits until there is room: what was asked
// about the ShareData after the subscribe is dealt with after it, so each
// subscribe has its own answer. If there is a replay that does not go out at
// once, the feeder sends the rest.
func (s *session) start(sub *subscription) {
	f := &feed{session: s, sub: sub}
	p, room := f.advance()
	for p == blocked && !f.begun {
		<-room
		p, room = f.advance()
	}
	if p != blocked {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starting = append(s.starting, f)
	if !s.feeding {
		s.feeding = s.server.spawn(s, s.feed)
	}
}

// feed is the feeder: a goroutine that waits for the peer on behalf of the
// subscriptions that are being replayed, one after the other.
func (s *session) feed() {
	for {
		s.mu.Lock()
		if len(s.starting) == 0 {
			s.starting, s.feeding = nil, false
			s.mu.Unlock()
			return
		}
		f := s.starting[0]
		s.starting = s.starting[1:]
		s.mu.Unlock()
		for p, room := f.advance(); p == blocked; p, room = f.advance() {
			<-room
		}
	}
}

// progress is what came of a step towards live.
type progress int

const (
	onward   progress = iota // there is more to do
	finished                 // it is live, or has ended
	blocked                  // there is no room in the outbox at the moment
	unread                   // entries are to be replayed, but none has been read
	broken                   // what has been sent cannot be continued
	gone                     // the ShareData was removed before anything was sent
)

// advance goes on until the subscription is live or has ended, or there is no
// room: then it is to be called again when there is.
func (f *feed) advance() (p progress, room <-chan struct{}) {
	for {
		switch {
		case !f.begun:
			p, room = f.begin()
		case len(f.next.frames) > 0:
			p, room = f.send()
		case f.next.last() != f.last:
			p = f.read()
		default:
			p = f.sub.golive()
		}
		switch p {
		case broken:
			f.sub.restart()
			f.begun, f.next, f.problem = false, page{}, replayBroke
		case gone:
			if !f.move() {
				return finished, nil
			}
		case blocked, finished:
			return p, room
		}
	}
}

// begin sends the state. It reads the first page of what is to be replayed
// before, so that a history that cannot be read is noticed while the frame
// after the state can still say so.
func (f *feed) begin() (p progress, room <-chan struct{}) {
	if f.problem == "" && len(f.next.frames) == 0 {
		f.readFirst()
	}
	f.last, p, room = f.sub.begin(f.next, f.silence, f.problem)
	if p == onward {
		f.begun = true
		f.next = f.next.upTo(f.last)
	}
	return p, room
}

func (f *feed) readFirst() {
	server := f.session.server
	r := resume(f.sub.channel.position(), f.sub.since, server.options.ReplayWindow)
	if r.count == 0 {
		return
	}
	first, err := readPage(f.session.ctx, server.manager, f.sub.id, r.from, f.sub.lifecycle)
	var missing *replay.CursorError
	switch {
	case errors.Is(err, sharedata.ErrUnknownShareData) && f.awaitRemoval():
		// There is no state to begin with, which begin will notice.
	case errors.As(err, &missing):
		f.problem = "what followed since is no longer kept; the state is current"
	case err != nil || len(first.frames) == 0:
		server.log.Warn("replay could not be read", "shareData", f.sub.id, "since", f.sub.since, "error", err)
		f.problem = "what followed since could not be read; the state is current"
	}
	f.next = first
	if f.problem == "" && !f.sub.lifecycle {
		f.count(first)
	}
}

// removalNotice is how long the news of a removal may be behind it.
const removalNotice = time.Second

// awaitRemoval waits for the channel to learn that the ShareData was removed,
// which the store has already told: between the commit and its observers there
// is a moment in which the state is still there and the history is not.
func (f *feed) awaitRemoval() bool {
	timer := time.NewTimer(removalNotice)
	defer timer.Stop()
	select {
	case <-f.sub.channel.over:
		return true
	case <-f.session.ctx.Done():
	case <-timer.C:
	}
	return false
}

// count finds out which entries the subscriber is not told of, because the
// state says how many it is. first has been read of them already.
func (f *feed) count(first page) {
	f.silent = nil
	for p := first; len(p.frames) > 0; {
		for i := range p.frames {
			if p.frames[i] == nil {
				f.silent = append(f.silent, p.after.Revision+uint64(i)+1)
			}
		}
		f.counted = p.last()
		if f.counted.Revision >= f.sub.channel.position().Revision {
			return
		}
		next, err := readPage(f.session.ctx, f.session.server.manager, f.sub.id, f.counted, false)
		if errors.Is(err, sharedata.ErrUnknownShareData) && f.awaitRemoval() {
			return
		}
		if err != nil {
			f.problem = "what followed since could not be read; the state is current"
			return
		}
		p = next
	}
}

// silence is how many of the missed entries up to head the subscriber is not
// told of. It is called with the channel's lock held: what has come since they
// were counted, the channel has seen.
func (f *feed) silence(head replay.Cursor) uint64 {
	if f.sub.lifecycle {
		return 0
	}
	n := f.sub.channel.updatesAfterLocked(f.counted.Revision)
	for _, revision := range f.silent {
		if revision <= head.Revision {
			n++
		}
	}
	return n
}

const replayBroke = "the rest of what was missed could not be read; the state is current"

// read reads the next page. What was sent so far is no whole replay, so it
// must not fail unnoticed.
func (f *feed) read() progress {
	server := f.session.server
	next, err := readPage(f.session.ctx, server.manager, f.sub.id, f.next.last(), f.sub.lifecycle)
	if err != nil || len(next.frames) == 0 {
		server.log.Warn("replay broke off", "shareData", f.sub.id, "after", f.next.last().String(), "error", err)
		return broken
	}
	f.next = next.upTo(f.last)
	return onward
}

// pageFrameBytes is how much of a replay is queued at a time, at most; the larger
// part of the send buffer is left to what is committed meanwhile.
const pageFrameBytes = 32 << 10

// send sends some of the next frames.
func (f *feed) send() (p progress, room <-chan struct{}) {
	n, most := 0, min(f.session.out.limit/4, pageFrameBytes)
	var some []frame
	for bytes := 0; n < len(f.next.frames); n++ {
		next := f.next.frames[n]
		if bytes += len(next); len(some) > 0 && bytes > most {
			break
		}
		if next != nil {
			some = append(some, next)
		}
	}
	if p, room = f.sub.feed(some); p == onward {
		f.next = f.next.from(n)
	}
	return p, room
}

// move makes the subscription one to the ShareData that was created anew by
// its id. It returns false if there is none, which the peer has been told then.
func (f *feed) move() bool {
	c, ok := f.session.acquire(f.sub.id)
	if !ok {
		f.session.forget(f.sub)
		f.sub.end()
		return false
	}
	f.sub.move(c)
	return true
}

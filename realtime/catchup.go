package realtime

import (
	"errors"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// catchUp takes one subscription from pending to live: it sends the state, then
// the replay of what the subscriber missed. States and replays can be had again
// at any time, so it sends them only as fast as the peer reads: a replay of any
// length takes no more than a part of the send buffer.
//
// One goroutine at a time uses it: first that of the request queue, then, if
// there is no room for the rest of the replay, one of its own.
type catchUp struct {
	session *session
	sub     *subscription
	// problem says why nothing is replayed; empty if that is not known.
	problem string
	// next is the page of which the frames are to be sent, and last the position
	// at which the replay ends.
	next page
	last replay.Cursor
}

// replayInterrupted is the problem of a replay that could not be completed.
const replayInterrupted = "the rest of what was missed could not be read; the state is current"

// removedMeanwhile is the problem of a replay whose ShareData was removed.
const removedMeanwhile = "the rest of what was missed could not be read, and the ShareData was removed meanwhile"

// startCatchUp sends the state, and waits until there is room for it: what is
// requested about the ShareData after the subscribe is processed after it, so
// each subscribe has its own reply. It does not wait for room for a replay.
func (s *session) startCatchUp(sub *subscription) {
	c := &catchUp{session: s, sub: sub}
	if !c.begin() {
		return
	}
	if room := c.replay(); room != nil {
		s.server.spawn(s, func() {
			for ; room != nil; room = c.replay() {
				<-room
			}
		})
	}
}

// begin sends the state, and returns whether a replay is to follow; if not, the
// subscription is live or has ended. It reads the first page before, so that a
// history that cannot be read is noticed while the frame after the state can
// still say so.
func (c *catchUp) begin() bool {
	for {
		if c.problem == "" && c.next.isZero() {
			c.readFirst()
		}
		if c.ended() {
			return false
		}
		outcome, last, room := c.sub.begin(c.next, c.problem)
		switch outcome {
		case beginDone:
			return false
		case beginReplaying:
			c.last = last
			return true
		case beginNoRoom:
			<-room
		case beginRemoved:
			if !c.rebind() {
				return false
			}
		}
	}
}

// readFirst reads the first page, if there is something to replay.
func (c *catchUp) readFirst() {
	head := c.sub.channel.position()
	r := resume(head, c.sub.request.Since, c.session.server.options.ReplayWindow)
	if r.count == 0 {
		return
	}
	first, err := c.read(r.from, head)
	var lost *replay.CursorError
	ended := errors.Is(err, sharedata.ErrUnknownShareData) || errors.Is(err, replay.ErrUnknownEpoch)
	if errors.As(err, &lost) || ended {
		// The store is ahead of the channel, which this brings up to it; if it fails, the
		// channel stays where it is.
		c.session.server.manager.Refresh(&c.session.ctx, c.sub.channel.id)
	}
	switch {
	case ended && c.awaitEnd(head.Epoch):
		return // begin notices it
	case lost != nil:
		c.problem = "what followed since is no longer kept; the state is current"
	case err != nil || first.last == r.from:
		c.warn("replay could not be read", r.from, err)
		c.problem = "what followed since could not be read; the state is current"
	}
	c.next = first
}

// removalDelay bounds the time between a removal's commit and its notification.
const removalDelay = time.Second

// awaitEnd waits until the channel is notified that the history of an epoch has ended,
// after the store has said so: between the commit and the notification the state is
// still there and the history is not. Where another process has created the ShareData
// again, the channel moves to that.
func (c *catchUp) awaitEnd(epoch uint64) bool {
	channel := c.sub.channel
	if channel.position().Epoch != epoch {
		return true
	}
	timer := time.NewTimer(removalDelay)
	defer timer.Stop()
	select {
	case <-channel.removed:
		return true
	case <-c.session.ctx.Done():
	case <-timer.C:
	}
	return channel.position().Epoch != epoch
}

// chunkBytes bounds the frames of a replay that are queued at a time: the larger
// part of the send buffer is left to what is committed meanwhile.
const chunkBytes = 32 << 10

// replay sends the pages and makes the subscription live. If there is no room, it
// returns a channel that is closed when it is worth calling it again; nil means
// that the subscription is live or has ended.
func (c *catchUp) replay() (room <-chan struct{}) {
	for {
		for len(c.next.frames) > 0 {
			n := c.next.chunk(min(c.session.out.limit/4, chunkBytes), max(c.session.out.most/2, 1))
			sent, room := c.sub.sendReplayed(c.next.frames[:n])
			switch {
			case room != nil:
				return room
			case !sent:
				c.beginAgain()
				return nil
			}
			c.next.frames = c.next.frames[n:]
		}
		switch {
		case c.next.last != c.last:
			if c.readNext() {
				continue
			}
			c.beginAgain()
		case !c.sub.goLive():
			c.beginAgain()
		}
		return nil
	}
}

// readNext reads the next page.
func (c *catchUp) readNext() bool {
	at := c.next.last
	next, err := c.read(at, c.last)
	if err != nil || next.last == at {
		c.warn("replay was interrupted", at, err)
		return false
	}
	if next.unrecorded && !c.next.unrecorded && c.sub.request.Patches {
		// The subscriber was promised patches. Earlier releases have written before
		// this one, so this happens only where two of them wrote in turn.
		c.warn("replay was interrupted by an entry of an earlier release", at, nil)
		return false
	}
	next.unrecorded = c.next.unrecorded
	c.next = next
	return true
}

// beginAgain begins without a cursor, because the replay cannot be completed: a
// part of it must not be passed off as the whole. It does nothing if the
// subscription has ended.
func (c *catchUp) beginAgain() {
	if c.ended() {
		return
	}
	c.sub.restart()
	c.next, c.problem = page{}, replayInterrupted
	c.begin()
}

// ended reports whether the session has ended, or is about to: what could not be read
// because of that is there, and the peer asks for it again when it is back.
func (c *catchUp) ended() bool { return c.session.ctx.Err() != nil }

func (c *catchUp) read(after, upTo replay.Cursor) (page, error) {
	return c.sub.channel.readPage(&c.session.ctx, &c.sub.request, c.sub.form, after, upTo)
}

// rebind makes the subscription one to the ShareData that was re-created by its
// id. If there is none, it sends that and returns false.
func (c *catchUp) rebind() bool {
	to, ok := c.session.acquire(&c.sub.request)
	if !ok {
		c.session.remove(c.sub)
		c.sub.end()
		return false
	}
	c.sub.rebind(to)
	return true
}

func (c *catchUp) warn(message string, after replay.Cursor, err error) {
	if !c.ended() {
		c.session.server.log.Warn(message, "shareData", c.sub.request.ShareDataID, "after", after.String(), "error", err)
	}
}

package realtime

import (
	"sync"

	"github.com/safe-go/safe/schemas/codes"
)

// outbox is what waits to be written to one connection. It knows nothing of
// how that is done: a writer takes from it with next.
//
// What waits is bounded in bytes, counting what the writer has taken and not
// yet written, and what is held elsewhere for this connection. Over the bound
// the queue is dropped and the connection is to be closed with 4001; nobody
// who adds to an outbox ever waits for its peer.
//
// All methods but next may be called from any number of goroutines; none
// blocks.
type outbox struct {
	limit int
	// wake is called when something waits and no writer is at work. From then
	// on until next says that nothing waits, a writer is. overflow is called
	// once, when the bound is exceeded, with the bytes that would have waited.
	// Both are called with mu held.
	wake     func()
	overflow func(buffered int)

	mu      sync.Mutex
	queue   []frame // from first on
	first   int
	queued  int // bytes in queue
	taken   int // bytes that the writer is writing
	held    int // bytes that wait elsewhere
	writing bool
	ping    bool
	pong    []byte        // the answer to the peer's latest ping
	room    chan struct{} // closed, and nil again, when bytes have gone or the state changes

	state  outboxState
	code   int // of the close frame
	reason string
}

type outboxState int

const (
	outboxOpen    outboxState = iota
	outboxClosing             // takes nothing more; what is queued goes out, then the close frame
	outboxClosed              // nothing goes out any more
)

func size(frames []frame) int {
	n := 0
	for _, f := range frames {
		n += len(f)
	}
	return n
}

// send queues frames. It returns false if the connection does not take them:
// it is closing, or they made it fall behind.
func (o *outbox) send(frames ...frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range frames {
		if !o.admitLocked(len(f)) {
			return false
		}
		o.pushLocked(f)
	}
	return true
}

// offer queues frames that can be had again later: only if they leave half of
// the bound to frames that cannot, or if nothing else is queued. Otherwise it
// returns a channel that is closed when it is worth trying again; nil means
// never, since the connection is closing.
func (o *outbox) offer(frames ...frame) (accepted bool, room <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxOpen {
		return false, nil
	}
	n, busy := size(frames), o.queued+o.taken
	if busy == 0 || busy+n <= o.limit/2 && busy+o.held+n <= o.limit {
		for _, f := range frames {
			o.pushLocked(f)
		}
		return true, nil
	}
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return false, o.room
}

// hold counts bytes that wait elsewhere for this connection. It returns what
// send would.
func (o *outbox) hold(n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.admitLocked(n) {
		return false
	}
	o.held += n
	return true
}

// release ends the hold of n bytes and queues those frames of them that are
// still wanted.
func (o *outbox) release(n int, frames ...frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held -= n
	if o.state == outboxOpen {
		for _, f := range frames {
			o.pushLocked(f)
		}
	}
	o.wakeWaitersLocked()
}

// wakeWaiters makes whoever waits for room look again.
func (o *outbox) wakeWaiters() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wakeWaitersLocked()
}

// sendPing queues a ping, which goes out as soon as the frame that is being
// written has.
func (o *outbox) sendPing() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == outboxOpen {
		o.ping = true
		o.wakeLocked()
	}
}

// sendPong queues the answer to a ping ahead of everything else. An answer
// that still waits is replaced (RFC 6455 section 5.5.3), so that a flood of
// pings costs nothing.
func (o *outbox) sendPong(payload []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxClosed {
		o.pong = appendHeader(o.pong[:0], finalPong, len(payload))
		o.pong = append(o.pong, payload...)
		o.wakeLocked()
	}
}

// closeAfterFlush has what is queued written, then a close frame, and nothing
// after it. It returns false if the outbox was not open.
func (o *outbox) closeAfterFlush(code int, reason string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxOpen {
		return false
	}
	o.closeLocked(code, reason)
	return true
}

// close drops everything.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = outboxClosed
	o.dropLocked()
	o.wakeWaitersLocked()
}

// closeFrame returns what the close frame says, or 0 if there was none.
func (o *outbox) closeFrame() (code int, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.code, o.reason
}

// busy reports whether a writer is at work.
func (o *outbox) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writing
}

// chunk is what a writer is to write next, as one.
type chunk struct {
	head []byte // whole frames, the last of which may go on in tail
	tail frame
	last bool // a close frame is at the end
}

// next is called by the writer, which has written the chunk before. It fills
// buffer, which has a capacity of at least 1 KiB and no length, with as many
// frames as go in; of a frame that is larger than the buffer, it copies only
// the beginning. It returns false when nothing waits: the writer is to stop
// until it is woken again.
func (o *outbox) next(buffer []byte) (chunk, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken = 0
	o.wakeWaitersLocked()
	if o.state == outboxClosed {
		o.writing = false
		return chunk{}, false
	}
	c := chunk{head: append(buffer, o.pong...)}
	o.pong = nil
	if o.ping {
		c.head = appendHeader(c.head, finalPing, 0)
		o.ping = false
	}
	for len(c.tail) == 0 && o.first < len(o.queue) {
		f := o.queue[o.first]
		free := cap(buffer) - len(c.head) - maxHeader
		if len(f) > free && len(c.head) > 0 {
			break
		}
		c.head = appendHeader(c.head, finalText, len(f))
		n := min(len(f), free)
		c.head = append(c.head, f[:n]...)
		c.tail = f[n:]
		o.popLocked()
	}
	if o.state == outboxClosing && o.first == len(o.queue) && len(c.tail) == 0 {
		c.head = appendClose(c.head, o.code, o.reason)
		c.last = true
		o.state = outboxClosed
	}
	o.writing = len(c.head) > 0
	return c, o.writing
}

// admitLocked reports whether n more bytes may wait, and falls behind if not.
// Something may always wait alone, or a state larger than the bound could
// never be sent.
func (o *outbox) admitLocked(n int) bool {
	if o.state != outboxOpen {
		return false
	}
	waiting := o.queued + o.taken + o.held
	if waiting > 0 && waiting+n > o.limit {
		o.dropLocked()
		o.closeLocked(codes.CloseFellBehind, "too much waits for this connection; reconnect and resume")
		o.overflow(waiting + n)
		return false
	}
	return true
}

func (o *outbox) closeLocked(code int, reason string) {
	o.state = outboxClosing
	o.code, o.reason = code, reason
	o.wakeLocked()
	o.wakeWaitersLocked()
}

func (o *outbox) dropLocked() {
	o.queue, o.first, o.queued = nil, 0, 0
}

func (o *outbox) pushLocked(f frame) {
	if len(o.queue) == cap(o.queue) && o.first > len(o.queue)/2 {
		n := copy(o.queue, o.queue[o.first:])
		clear(o.queue[n:])
		o.queue, o.first = o.queue[:n], 0
	}
	o.queue = append(o.queue, f)
	o.queued += len(f)
	o.wakeLocked()
}

// keptSlots is how long an empty queue may stay for the next frames.
const keptSlots = 16

func (o *outbox) popLocked() {
	f := o.queue[o.first]
	o.queue[o.first] = nil
	o.first++
	o.queued -= len(f)
	o.taken += len(f)
	switch {
	case o.first < len(o.queue):
	case cap(o.queue) > keptSlots:
		o.queue, o.first = nil, 0
	default:
		o.queue, o.first = o.queue[:0], 0
	}
}

func (o *outbox) wakeLocked() {
	if !o.writing {
		o.writing = true
		o.wake()
	}
}

func (o *outbox) wakeWaitersLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

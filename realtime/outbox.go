package realtime

import (
	"sync"

	"github.com/safe-go/safe/schemas/codes"
)

// outbox has what waits to be written to one connection. A writer takes it out
// with next and writes it.
//
// The bytes and the number of frames that wait are bounded. What the writer has taken out and the network has
// not yet taken is counted, and so are frames that subscriptions hold. Over the bound
// the queue is dropped and the connection is to be closed with 4001.
//
// All methods but next may be called from any number of goroutines; none
// blocks. For the lock order see channel.
type outbox struct {
	limit int // in bytes
	most  int // frames in queue
	owner outboxOwner

	mu      sync.Mutex
	queue   fifo[*frame]
	queued  int    // bytes in queue
	pushed  uint64 // bytes that were ever queued
	taken   int    // bytes of the chunk that the writer is writing
	takenAt uint64 // bytesWritten when it took them
	held    int    // bytes of frames that subscriptions hold
	writing bool
	ping    bool
	pong    []byte        // the payload of the peer's latest ping, which is to be answered
	room    chan struct{} // closed, and nil again, when bytes were written or the state changes

	state  outboxState
	code   int // of the close frame
	reason string
}

// outboxOwner is the session of an outbox, which calls it with mu held.
type outboxOwner interface {
	// startWriter is called when something waits and no writer runs. From then on until
	// next returns false, a writer runs. bulk says that very many connections are sent
	// the same.
	startWriter(bulk bool)
	// startFallingBehind is called once, when the bound is exceeded, with the number of
	// bytes that would have waited.
	startFallingBehind(buffered int)
	// bytesWritten returns how many bytes the network has taken so far, frames and what
	// the transport adds to them.
	bytesWritten() uint64
}

type outboxState uint8

const (
	outboxOpen    outboxState = iota
	outboxClosing             // accepts nothing more; what is queued is written, then the close frame
	outboxClosed              // nothing is written any more
)

func size(frames []*frame) int {
	n := 0
	for _, f := range frames {
		n += f.size()
	}
	return n
}

// send queues frames. It returns false if the connection does not accept them:
// it is closing, or they made it fall behind.
func (o *outbox) send(frames ...*frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range frames {
		if !o.admitLocked(f.size(), 1) {
			return false
		}
		o.pushLocked(f)
	}
	return true
}

// claim makes the caller the writer of one frame, which is not queued, if nothing waits or
// is being written. After the frame, it is to call hand.
func (o *outbox) claim() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxOpen || o.writing {
		return false
	}
	o.writing = true
	return true
}

// hand ends a claim: the owner's writer goes on, if something waits.
func (o *outbox) hand() {
	o.mu.Lock()
	defer o.mu.Unlock()
	waits := o.pong != nil || o.ping || o.queue.len() > 0 || o.state == outboxClosing
	if o.writing = waits && o.state != outboxClosed; o.writing {
		o.owner.startWriter(false)
	}
}

// sendWithin queues frames if no more than most bytes wait then, or if it is one
// frame and nothing else waits. It returns whether it did.
func (o *outbox) sendWithin(most int, frames ...*frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	waiting := o.waitingLocked()
	if o.state != outboxOpen || (waiting+size(frames) > most || !o.fitLocked(len(frames))) && (waiting > 0 || len(frames) > 1) {
		return false
	}
	for _, f := range frames {
		o.pushLocked(f)
	}
	return true
}

// holdWithin counts bytes of frames that a subscription holds, if no more than most
// bytes wait then. It returns whether it did.
func (o *outbox) holdWithin(most, n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxOpen || o.waitingLocked()+n > most {
		return false
	}
	o.held += n
	return true
}

// fitLocked returns whether n more frames may be queued.
func (o *outbox) fitLocked(n int) bool { return n == 0 || o.queue.len()+n <= o.most }

func (o *outbox) waitingLocked() int { return o.queued + o.unwrittenLocked() + o.held }

// unwrittenLocked returns how much of the chunk that is being written is not written yet.
func (o *outbox) unwrittenLocked() int {
	if o.taken == 0 {
		return 0
	}
	return max(0, o.taken-int(o.owner.bytesWritten()-o.takenAt))
}

// mark returns the position behind what is queued, for whenWritten.
func (o *outbox) mark() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pushed
}

// whenWritten returns whether what was queued before a mark has been written. If
// not, room is closed when it is worth asking again; nil means never, because the
// connection is closing.
func (o *outbox) whenWritten(mark uint64) (written bool, room <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.state != outboxOpen:
		return false, nil
	case o.pushed-uint64(o.queued+o.taken) >= mark:
		return true, nil
	}
	return false, o.roomLocked()
}

// offer queues frames that can be produced again later: only if half of the
// bound is left to frames that cannot, or if nothing else is queued. Otherwise
// it returns a channel that is closed when it is worth trying again; nil means
// never, because the connection is closing.
func (o *outbox) offer(frames ...*frame) (accepted bool, room <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxOpen {
		return false, nil
	}
	n, busy := size(frames), o.queued+o.unwrittenLocked()
	if busy == 0 || busy+n <= o.limit/2 && busy+o.held+n <= o.limit && o.queue.len()+len(frames) <= o.most/2 {
		for _, f := range frames {
			o.pushLocked(f)
		}
		return true, nil
	}
	return false, o.roomLocked()
}

// whenWoken returns a channel that is closed with the next wakeWaiters, or
// earlier; nil if the connection is closing.
func (o *outbox) whenWoken() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxOpen {
		return nil
	}
	return o.roomLocked()
}

func (o *outbox) roomLocked() <-chan struct{} {
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

// hold counts bytes of frames that a subscription holds. It returns what send
// would.
func (o *outbox) hold(n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.admitLocked(n, 0) {
		return false
	}
	o.held += n
	return true
}

// release ends the hold of n bytes and queues those of the held frames that are
// to be sent.
func (o *outbox) release(n int, frames ...*frame) {
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

// wakeWaiters closes the channel that offer returned, so that its callers try
// again or give up.
func (o *outbox) wakeWaiters() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wakeWaitersLocked()
}

// sendPing queues a ping, which is written after the frame that is being
// written.
func (o *outbox) sendPing() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == outboxOpen {
		o.ping = true
		o.wakeLocked(false)
	}
}

// sendPong queues a pong ahead of everything else. A pong that still waits is
// replaced (RFC 6455 section 5.5.3), so that a flood of pings costs no memory.
func (o *outbox) sendPong(payload []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxClosed {
		o.pong = append(make([]byte, 0, len(payload)), payload...) // not nil
		o.wakeLocked(false)
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

// closeAtOnce drops what is queued and has the close frame written after the
// frames that are being written. Where a close frame was queued before, that one
// stays, and no frame is written before it any more.
func (o *outbox) closeAtOnce(code int, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == outboxClosed {
		return
	}
	o.dropLocked()
	o.ping = false
	if o.state == outboxOpen {
		o.closeLocked(code, reason)
	}
}

// close drops everything.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = outboxClosed
	o.dropLocked()
	o.wakeWaitersLocked()
}

// closeFrame returns the code and the reason of the close frame, or 0 if there
// was none.
func (o *outbox) closeFrame() (code int, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.code, o.reason
}

// busy reports whether a writer runs.
func (o *outbox) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writing
}

// chunk is what a writer is to write next, at once, in this order.
type chunk struct {
	pong   []byte // the payload of the peer's latest ping, if it is to be answered; nil for none
	ping   bool
	frames []*frame
	// last says that a close frame with the code and the reason is to follow, and then
	// nothing.
	last   bool
	code   int
	reason string
}

// chunkSize is how many bytes of frames a chunk has at most, unless it has only one: as
// many as are given to the network at once.
const chunkSize = gatherBytes

// next is called by the writer, which has written the previous chunk. The frames are
// appended to the slice. It returns false when nothing waits: the writer is to stop.
func (o *outbox) next(frames []*frame) (chunk, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken, o.takenAt = 0, o.owner.bytesWritten()
	o.wakeWaitersLocked()
	if o.state == outboxClosed {
		o.writing = false
		return chunk{}, false
	}
	c := chunk{pong: o.pong, ping: o.ping, frames: frames}
	o.pong, o.ping = nil, false
	for o.queue.len() > 0 {
		if n := o.queue.all()[0].size(); o.taken > 0 && o.taken+n > chunkSize {
			break
		}
		c.frames = append(c.frames, o.popLocked())
	}
	if o.state == outboxClosing && o.queue.len() == 0 {
		c.last, c.code, c.reason = true, o.code, o.reason
		o.state = outboxClosed
	}
	o.writing = c.last || c.ping || c.pong != nil || len(c.frames) > 0
	return c, o.writing
}

// admitLocked returns whether n more bytes may wait, of so many frames to be queued. If not, the connection falls
// behind. One frame may always wait alone, or a state larger than the bound
// could never be sent.
func (o *outbox) admitLocked(n, frames int) bool {
	if o.state != outboxOpen {
		return false
	}
	waiting := o.waitingLocked()
	if waiting > 0 && (waiting+n > o.limit || !o.fitLocked(frames)) {
		o.dropLocked()
		o.closeLocked(codes.CloseFellBehind, "too much waits for this connection; reconnect and resume")
		o.owner.startFallingBehind(waiting + n)
		return false
	}
	return true
}

func (o *outbox) closeLocked(code int, reason string) {
	o.state = outboxClosing
	o.code, o.reason = code, reason
	o.wakeLocked(false)
	o.wakeWaitersLocked()
}

func (o *outbox) dropLocked() {
	o.queue, o.queued = fifo[*frame]{}, 0
}

func (o *outbox) pushLocked(f *frame) {
	o.queue.push(f)
	o.queued += f.size()
	o.pushed += uint64(f.size())
	o.wakeLocked(f.bulk)
}

// keptSlots is how long an empty queue may stay for the next frames.
const keptSlots = 16

func (o *outbox) popLocked() *frame {
	f := o.queue.pop()
	o.queued -= f.size()
	o.taken += f.size()
	if o.queue.len() == 0 && cap(o.queue.items) > keptSlots {
		o.queue = fifo[*frame]{}
	}
	return f
}

func (o *outbox) wakeLocked(bulk bool) {
	if !o.writing {
		o.writing = true
		o.owner.startWriter(bulk)
	}
}

func (o *outbox) wakeWaitersLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

package realtime

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
)

// testOwner counts what an outbox asks for.
type testOwner struct {
	woken, fell int
	written     uint64
}

func (t *testOwner) startWriter(bool)                { t.woken++ }
func (t *testOwner) startFallingBehind(buffered int) { t.fell = buffered }
func (t *testOwner) bytesWritten() uint64            { return t.written }

func newTestOutbox(limit int) (*outbox, *testOwner) {
	owner := &testOwner{}
	return &outbox{limit: limit, most: unlimited, owner: owner}, owner
}

// textFrame is a frame with some text.
func textFrame(text string) *frame { return &frame{text: []byte(text), about: &nothing} }

// recordingConn keeps what is written to it.
type recordingConn struct {
	net.Conn
	bytes.Buffer
}

func (c *recordingConn) Read([]byte) (int, error)    { return 0, io.EOF }
func (c *recordingConn) Write(p []byte) (int, error) { return c.Buffer.Write(p) }

// writeChunk returns what a socket writes of a chunk, with a buffer of a capacity.
func writeChunk(c *chunk, capacity int) []byte {
	conn := &recordingConn{}
	if err := newSocket(conn, nil, new(poller)).write(c, &writeBuffer{bytes: make([]byte, 0, capacity)}); err != nil {
		panic(err)
	}
	return conn.Bytes()
}

// drainOutbox is a writer: it returns everything that is to be written.
func drainOutbox(o *outbox, capacity int) (written []byte, chunks int, last bool) {
	for {
		c, more := o.next(nil)
		if !more {
			return written, chunks, last
		}
		written = append(written, writeChunk(&c, capacity)...)
		chunks++
		last = c.last
	}
}

func text(payload string) []byte {
	return append(appendHeader(nil, finalText, len(payload)), payload...)
}

func TestOutboxSend(t *testing.T) {
	o, owner := newTestOutbox(1000)
	o.send(textFrame("one"), textFrame("two"))
	o.send(textFrame("three"))
	if owner.woken != 1 {
		t.Errorf("woken %d times, want once", owner.woken)
	}
	written, chunks, _ := drainOutbox(o, 1024)
	if want := bytes.Join([][]byte{text("one"), text("two"), text("three")}, nil); !bytes.Equal(written, want) || chunks != 1 {
		t.Errorf("got %q in %d chunks, want %q in one", written, chunks, want)
	}
	if o.send(textFrame("four")); owner.woken != 2 {
		t.Errorf("woken %d times, want twice", owner.woken)
	}
}

func TestOutboxFrameSizes(t *testing.T) {
	for _, size := range []int{1, 125, 126, 1000, 1013, 1014, 1015, 1024, 4095, 4096, 5000, 65535, 65536, 200_000, 500_000} {
		o, _ := newTestOutbox(unlimited)
		big := strings.Repeat("x", size)
		o.send(textFrame("before"), textFrame(big), textFrame("after"))
		want := bytes.Join([][]byte{text("before"), text(big), text("after")}, nil)
		if written, _, _ := drainOutbox(o, 1024); !bytes.Equal(written, want) {
			t.Errorf("size %d: %d bytes written, want %d", size, len(written), len(want))
		}
	}
}

func TestOutboxBound(t *testing.T) {
	of := func(n int) *frame { return textFrame(strings.Repeat("x", n)) }
	for _, test := range []struct {
		name string
		fill func(o *outbox) bool
		want int // bytes at the overflow; 0: no overflow
	}{
		{"exactly the bound", func(o *outbox) bool { return o.send(of(60), of(40)) }, 0},
		{"one byte over", func(o *outbox) bool { return o.send(of(60), of(41)) }, 101},
		{"one frame over alone", func(o *outbox) bool { return o.send(of(500)) }, 0},
		{"and one more", func(o *outbox) bool { return o.send(of(500), of(1)) }, 501},
		{"held counts", func(o *outbox) bool { return o.hold(60) && o.send(of(41)) }, 101},
		{"released does not", func(o *outbox) bool {
			o.hold(60)
			o.release(60)
			return o.send(of(100))
		}, 0},
		{"released frames count still", func(o *outbox) bool {
			o.hold(60)
			o.release(60, of(60))
			return o.send(of(41))
		}, 101},
		{"what the writer has counts", func(o *outbox) bool {
			o.send(of(60))
			o.next(nil)
			return o.send(of(41))
		}, 101},
		{"what the network took of that does not", func(o *outbox) bool {
			o.send(of(60))
			o.next(nil)
			o.owner.(*testOwner).written += 30
			return o.send(of(70))
		}, 0},
		{"and not twice", func(o *outbox) bool {
			o.send(of(60))
			o.next(nil)
			o.owner.(*testOwner).written += 70 // with headers
			return o.send(of(101)) && o.send(of(1))
		}, 102},
		{"what it has written does not", func(o *outbox) bool {
			o.send(of(60))
			drainOutbox(o, 1024)
			return o.send(of(100))
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, owner := newTestOutbox(100)
			if ok := test.fill(o); ok != (test.want == 0) || owner.fell != test.want {
				t.Errorf("taken: %v, overflow of %d, want of %d", ok, owner.fell, test.want)
			}
		})
	}
}

func TestOutboxOverflow(t *testing.T) {
	o, _ := newTestOutbox(10)
	o.send(textFrame("under way"))
	under, _ := o.next(nil)
	if o.send(textFrame("dropped")) {
		t.Error("taken")
	}
	if o.send(textFrame("x")) || o.hold(1) || o.closeAfterFlush(1001, "") {
		t.Error("something is taken after the overflow")
	}
	if accepted, room := o.offer(textFrame("x")); accepted || room != nil {
		t.Error("an offer is taken after the overflow")
	}
	written, _, last := drainOutbox(o, 1024)
	if want := appendClose(nil, 4001, o.reason); len(under.frames) != 1 || !bytes.Equal(written, want) || !last {
		t.Errorf("wrote %d frames, then %q", len(under.frames), written)
	}
}

func TestOutboxOffer(t *testing.T) {
	o, _ := newTestOutbox(100)
	half := textFrame(strings.Repeat("x", 50))
	if accepted, _ := o.offer(half); !accepted {
		t.Fatal("refused although nothing waits")
	}
	accepted, room := o.offer(textFrame("y"))
	if accepted || room == nil {
		t.Fatal("taken beyond half of the bound")
	}
	select {
	case <-room:
		t.Fatal("there is no room yet")
	default:
	}
	drainOutbox(o, 1024)
	<-room
	if accepted, _ := o.offer(textFrame(strings.Repeat("x", 500))); !accepted {
		t.Error("a large frame is refused although nothing waits")
	}
}

// Held frames are released when the replay ends, so they must not keep the rest
// of the replay from being queued.
func TestOutboxOffer_Held(t *testing.T) {
	o, _ := newTestOutbox(100)
	o.hold(90)
	if accepted, _ := o.offer(textFrame(strings.Repeat("x", 20))); !accepted {
		t.Error("refused although nothing is queued")
	}
}

func TestOutboxWakeWaiters(t *testing.T) {
	for name, end := range map[string]func(o *outbox){
		"wakeWaiters": (*outbox).wakeWaiters,
		"close":       (*outbox).close,
		"closeFrame":  func(o *outbox) { o.closeAfterFlush(1001, "") },
		"overflow":    func(o *outbox) { o.send(textFrame(strings.Repeat("x", 100))) },
	} {
		o, _ := newTestOutbox(100)
		o.send(textFrame(strings.Repeat("x", 80)))
		_, room := o.offer(textFrame("y"))
		end(o)
		select {
		case <-room:
		default:
			t.Errorf("%s: still waiting", name)
		}
	}
}

func TestOutboxCloseAfterFlush(t *testing.T) {
	o, _ := newTestOutbox(1 << 20)
	big := strings.Repeat("x", 5000)
	o.send(textFrame("first"), textFrame(big))
	if !o.closeAfterFlush(4004, "invalid message") || o.closeAfterFlush(1001, "") {
		t.Error("want the first close to count, and only that")
	}
	o.send(textFrame("too late"))
	written, _, last := drainOutbox(o, 1024)
	want := append(append(text("first"), text(big)...), appendClose(nil, 4004, "invalid message")...)
	if !bytes.Equal(written, want) || !last {
		t.Errorf("got %d bytes, want %d", len(written), len(want))
	}
	if code, reason := o.closeFrame(); code != 4004 || reason != "invalid message" {
		t.Errorf("said %d %q", code, reason)
	}
}

func TestOutboxControlFrames(t *testing.T) {
	o, _ := newTestOutbox(1000)
	o.send(textFrame("data"))
	o.sendPong([]byte("a"))
	o.sendPong([]byte("b"))
	o.sendPing()
	written, _, _ := drainOutbox(o, 1024)
	if want := append([]byte{0x8A, 1, 'b', 0x89, 0}, text("data")...); !bytes.Equal(written, want) {
		t.Errorf("got %q, want %q", written, want)
	}
}

// A queue that is never empty used to keep the slots of all it had written.
func TestOutboxQueue_Reused(t *testing.T) {
	o, _ := newTestOutbox(unlimited)
	f := textFrame(strings.Repeat("x", chunkSize/2+1))
	o.send(f, f)
	for range 10_000 {
		o.send(f)
		if _, more := o.next(nil); !more {
			t.Fatal("the queue is empty")
		}
	}
	if cap(o.queue.items) > 64 {
		t.Errorf("the queue has %d places for %d frames", cap(o.queue.items), o.queue.len())
	}
}

func TestOutboxQueue_Freed(t *testing.T) {
	o, _ := newTestOutbox(1 << 20)
	for range 1000 {
		o.send(textFrame("x"))
	}
	drainOutbox(o, 1024)
	if cap(o.queue.items) > keptSlots {
		t.Errorf("the empty queue has %d places", cap(o.queue.items))
	}
}

func TestAppendClose(t *testing.T) {
	got := appendClose(nil, 4001, strings.Repeat("x", 500))
	if len(got) != 2+125 || got[1] != 125 {
		t.Errorf("%d bytes with a payload of %d; a control frame's has at most 125 (RFC 6455 section 5.5)", len(got), got[1])
	}
}

// The queue of the smallest frames takes more memory than their bytes.
func TestOutbox_Memory(t *testing.T) {
	const limit = 1 << 20
	o, _ := newTestOutbox(limit)
	measure := func() int64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before := measure()
	for o.send(encode(&wire.Pong{CorrelationID: "a"})) && o.queued < limit-100 {
	}
	if grown := measure() - before; grown > 3*limit {
		t.Errorf("%d KiB for %d KiB", grown>>10, o.queued>>10)
	} else {
		t.Logf("%d KiB for %d KiB", grown>>10, o.queued>>10)
	}
	runtime.KeepAlive(o)
}

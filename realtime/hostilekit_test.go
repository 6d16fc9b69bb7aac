package realtime_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
)

// rawPeer is a peer that writes bytes, whether they are WebSocket or not.
type rawPeer struct {
	*testing.T
	net.Conn
	frames *bufio.Reader
}

// dialRaw opens a WebSocket connection by hand.
func (ts *testServer) dialRaw() *rawPeer {
	ts.Helper()
	conn := ts.dialNetwork()
	return &rawPeer{T: ts.T, Conn: conn, frames: upgrade(ts, conn)}
}

// dialNetwork opens the connection under a WebSocket connection.
func (ts *testServer) dialNetwork() net.Conn {
	ts.Helper()
	dial := func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(ts.url, "http://")) }
	if ts.url == inMemory {
		dial = func() (net.Conn, error) {
			return ts.client.Transport.(*http.Transport).DialContext(ts.Context(), "tcp", "")
		}
	}
	conn, err := dial()
	if err != nil {
		ts.Fatal(err)
	}
	ts.Cleanup(func() { conn.Close() })
	return conn
}

// repeat writes the same bytes n times, or until the server has closed.
func (p *rawPeer) repeat(bytes []byte, n int) {
	for range n {
		if _, err := p.Write(bytes); err != nil {
			return
		}
	}
}

// neighbour proposes to a ShareData of its own and is subscribed to it, one round
// trip after the other, while something hostile happens.
type neighbour struct {
	peer  *peer
	trips atomic.Int64
	trip  chan struct{} // has room for one: there was a round trip
	stop  atomic.Bool
	done  chan error
}

// startNeighbour starts the round trips. The returned function ends them and fails
// the test where a proposal was not accepted or a transaction was missed.
func (ts *testServer) startNeighbour() (n *neighbour, check func()) {
	ts.Helper()
	ts.create("neighbour")
	n = &neighbour{peer: ts.dial(), trip: make(chan struct{}, 1), done: make(chan error, 1)}
	n.peer.unchecked = true
	n.peer.join("neighbour", "")
	go func() {
		var err error
		for err == nil && !n.stop.Load() {
			err = n.roundTrip()
		}
		n.done <- err
	}()
	return n, func() {
		ts.Helper()
		n.waitTrips(3)
		n.stop.Store(true)
		if err := <-n.done; err != nil {
			ts.Errorf("the neighbour, after %d round trips: %v", n.trips.Load(), err)
		}
	}
}

// waitTrips waits until some more round trips were made, or one failed.
func (n *neighbour) waitTrips(more int64) {
	for want := n.trips.Load() + more; n.trips.Load() < want; {
		select {
		case <-n.trip:
		case err := <-n.done:
			n.done <- err
			return
		}
	}
}

func (n *neighbour) roundTrip() error {
	id := strconv.FormatInt(n.trips.Load(), 10)
	n.peer.propose("neighbour", "add", `{"by":1}`, id)
	message, err := n.peer.next()
	if err != nil {
		return err
	}
	if m, ok := message.(*wire.Transaction); !ok || m.Revision != uint64(n.trips.Load())+2 {
		return fmt.Errorf("want its transaction, got %s", message.AppendTo(nil))
	}
	if message, err = n.peer.next(); err != nil {
		return err
	}
	if m, ok := message.(*wire.ProposalResult); !ok || !m.Accepted || m.CorrelationID != id {
		return fmt.Errorf("want its result, got %s", message.AppendTo(nil))
	}
	n.trips.Add(1)
	select {
	case n.trip <- struct{}{}:
	default:
	}
	return nil
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// grownHeap returns by how much the heap has grown. What peers that go on sending make
// the server allocate for a moment does not count: it is in some measurements only.
func grownHeap(before int64) int64 {
	least := int64(math.MaxInt64)
	for range 20 {
		least = min(least, heap()-before)
	}
	return least
}

// smallHistory keeps little of what a neighbour changes.
func smallHistory(t *testing.T) replay.Store {
	t.Helper()
	memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: 100})
	if err != nil {
		t.Fatal(err)
	}
	return memory
}

// allocated returns the bytes that were ever allocated.
func allocated() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.TotalAlloc)
}

// countFrames reads up to the close frame; it returns the number of frames before.
func (p *rawPeer) countFrames() (n, code int) {
	for {
		opcode, payload, err := readServerFrame(p.frames)
		switch {
		case err != nil:
			return n, 0
		case opcode == 0x8:
			return n, int(binary.BigEndian.Uint16(payload))
		}
		n++
	}
}

// readServerFrame reads one frame of a server, which is not masked.
func readServerFrame(r io.Reader) (opcode byte, payload []byte, err error) {
	var header [2]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	n := int64(header[1])
	var long [8]byte
	switch n {
	case 126:
		io.ReadFull(r, long[6:])
		n = int64(binary.BigEndian.Uint64(long[:]))
	case 127:
		io.ReadFull(r, long[:])
		n = int64(binary.BigEndian.Uint64(long[:]))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return header[0] & 0x0F, payload, err
}

package realtime_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
)

// sampleGoroutines returns the largest number of goroutines while f runs.
func sampleGoroutines(f func()) (most int) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		most = max(most, runtime.NumGoroutine())
		select {
		case <-done:
			return most
		case <-time.After(time.Millisecond):
		}
	}
}

// A million ids that do not exist leave nothing behind.
func TestHostileVolume_DistinctIDs(t *testing.T) {
	ids := 1_000_000
	if testing.Short() || realtime.RaceEnabled {
		ids = 50_000
	}
	ts := serveStore(t, smallHistory(t), &realtime.Options{MessagesPerSecond: -1})
	_, check := ts.startNeighbour()
	p := ts.dialRaw()
	go io.Copy(io.Discard, p.frames)
	before, goroutines := heap(), runtime.NumGoroutine()
	most := sampleGoroutines(func() {
		var b bytes.Buffer
		for i := range ids {
			if i%2 == 0 {
				b.Write(masked(0x81, fmt.Sprintf(`{"v":1,"type":"subscribe","shareDataId":"id-%d","keepConnection":true}`, i)))
			} else {
				b.Write(masked(0x81, fmt.Sprintf(`{"v":1,"type":"propose","shareDataId":"id-%d","functionId":"f","proposedData":1,"correlationId":"a"}`, i)))
			}
			if b.Len() > 32<<10 || i == ids-1 {
				p.Write(b.Bytes())
				b.Reset()
			}
		}
	})
	// A goroutine for each request that waits, and as many for ShareData being loaded;
	// and those that have replied and are about to end, which are more where the
	// machine is busy.
	if limit := goroutines + 2*(2*64+64) + 200; most > limit {
		t.Errorf("%d goroutines, want at most %d", most, limit)
	}
	check()
	p.Close()
	ts.server.Close()
	if grown := grownHeap(before); grown > 4<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if n := ts.server.Channels(); n != 0 {
		t.Errorf("%d channels are left", n)
	}
}

// Subscribes and unsubscribes in a storm are refused or carried out, and the
// subscriber is sent no more states than it reads.
func TestHostileVolume_SubscribeStorm(t *testing.T) {
	ts := serveStore(t, smallHistory(t), nil)
	for i := range 4 {
		ts.create(fmt.Sprint(i))
	}
	_, check := ts.startNeighbour()
	var storm []byte
	for i := range 1000 {
		storm = append(storm, masked(0x81, fmt.Sprintf(`{"v":1,"type":"subscribe","shareDataId":"%d","since":"1-1"}`, i%4))...)
		storm = append(storm, masked(0x81, fmt.Sprintf(`{"v":1,"type":"unsubscribe","shareDataId":"%d"}`, i%4))...)
	}
	before := heap()
	var peers sync.WaitGroup
	for range 4 {
		p := ts.dialRaw()
		go io.Copy(io.Discard, p.frames)
		peers.Go(func() { p.repeat(storm, 10) })
	}
	peers.Wait()
	check()
	if grown := grownHeap(before); grown > 8<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if n := ts.server.Channels(); n > 5 {
		t.Errorf("%d channels", n)
	}
}

// The memory that one connection can make the server hold with what it sends, as the
// package doc says: proposals in flight, which the manager copies, and a message that
// is not complete. A function that runs has a copy too.
func TestConnectionMemory(t *testing.T) {
	const peers, limit = 20, 256 << 10
	ts := serve(t, &realtime.Options{MaxMessageBytes: limit})
	slow, unblock := blockingFunction("slow")
	defer unblock()
	for i := range peers {
		ts.create(fmt.Sprint(i), slow.WithTimeout(-1))
	}
	n, check := ts.startNeighbour()
	fill := strings.Repeat("x", limit-200)
	before := heap()
	for i := range peers {
		p := ts.dialRaw()
		go io.Copy(io.Discard, p.frames)
		go func() {
			for range 6 {
				p.Write(masked(0x81, fmt.Sprintf(`{"v":1,"type":"propose","shareDataId":"%d","functionId":"slow","proposedData":"%s","correlationId":"a"}`, i, fill)))
			}
			p.Write(masked(0x01, fill+fill[:100])) // unfinished
		}()
	}
	most := int64(0)
	for range 50 { // until the server has read all of it
		n.waitTrips(20)
		most = max(most, (heap()-before)/peers)
	}
	check()
	t.Logf("%d KiB per connection", most>>10)
	if want := int64(12 * limit); most > want {
		t.Errorf("%d KiB per connection, want at most %d", most>>10, want>>10)
	}
	if most < 8*limit {
		t.Errorf("%d KiB per connection: the peers did not make the server hold what they could", most>>10)
	}
}

// A peer that sends and never reads is closed when MaxBufferedBytes wait for it.
func TestHostileVolume_NeverReads(t *testing.T) {
	const peers = 5
	var r recorder
	ts := serveStore(t, smallHistory(t), &realtime.Options{Observer: r.observer(), MaxBufferedBytes: 64 << 10})
	n, check := ts.startNeighbour()
	before := heap()
	pings := bytes.Repeat(masked(0x81, `{"v":1,"type":"ping","correlationId":"`+strings.Repeat("a", 1000)+`"}`), 100)
	for range peers {
		p := ts.dialRaw()
		go p.repeat(pings, 1000)
	}
	for len(r.overflows()) < peers {
		n.waitTrips(1)
	}
	// Without a bound it would be 100 MiB. The race detector has pools drop what is put
	// back, and is slow to free what the tests before have left.
	limit := int64(256 << 10)
	if realtime.RaceEnabled {
		limit = 16 << 20
	}
	if grown := grownHeap(before); grown > peers*limit {
		t.Errorf("the heap has grown by %d KiB for each", grown/peers>>10)
	}
	check()
}

package client

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
)

// largeObject returns an object of about 256 KiB with 2,000 members, each of which
// holds a number.
func largeObject() json.RawMessage {
	var text strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&text, `,"m%04d":{"n":0,"text":"%s"}`, i, strings.Repeat("x", 105))
	}
	return json.RawMessage("{" + text.String()[1:] + "}")
}

// Events that wait hold their patches, and all of them together one state, also while
// proofs are made of the newest.
func TestPatches_Memory(t *testing.T) {
	const events = 1000
	c, err := newClient("ws://nowhere", &Options{EventBuffer: events + 1})
	if err != nil {
		t.Fatal(err)
	}
	s := &Subscription{client: c, id: "x", ready: make(chan struct{}, 1)}
	s.catchUp.asked.patches = true
	s.catchUp.begin(position{})
	push := func(frame wire.ServerMessage) {
		frame, err := wire.DecodeServer(frame.AppendTo(nil), wire.Limits{MaxBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range s.catchUp.receive(frame).items {
			if !s.pushLocked(it, false) {
				t.Fatal("the buffer is full")
			}
		}
	}
	before := heapBytes()
	first := wholeSnapshot(1, 0)
	first.CurrentState = largeObject()
	size := len(first.CurrentState)
	first.StateHash = hashOf(first.CurrentState)
	push(first)
	for revision := 2; revision <= events+1; revision++ {
		frame := patch(revision)
		frame.Patch = json.RawMessage(fmt.Sprintf(`[{"op":"replace","path":"/m%04d/n","value":%d}]`, revision%2000, revision))
		push(frame)
		if revision%10 == 0 {
			if _, err := s.catchUp.head.hash(); err != nil {
				t.Fatal(err)
			}
		}
	}
	waiting := heapBytes() - before
	var last Event
	for range events + 1 {
		if last, err = s.next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	taken := heapBytes() - before
	t.Logf("a state of %d bytes, %d events: %d bytes while they wait, %d when they are taken", size, events, waiting, taken)
	if limit := int64(2*size + events*1500); waiting > limit {
		t.Errorf("%d bytes while %d events wait, want at most %d", waiting, events, limit)
	}
	runtime.KeepAlive(s)
	if limit := int64(3*size + 100<<10); taken > limit {
		t.Errorf("%d bytes after the events were taken, want at most %d", taken, limit)
	}
	if text := string(last.state()); !strings.Contains(text, `"m1001":{"n":1001,`) || !strings.Contains(text, `"m0002":{"n":2,`) {
		t.Errorf("the last state is %.100s", text)
	}
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

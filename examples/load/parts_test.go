package main

import (
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

func TestSequence_Epochs(t *testing.T) {
	var s sequence
	s.begin(replay.Cursor{Epoch: 1, Revision: 5})
	s.observe(replay.Cursor{Epoch: 1, Revision: 6})
	s.begin(replay.Cursor{Epoch: 1, Revision: 6}) // a resume
	s.begin(replay.Cursor{Epoch: 2, Revision: 1}) // another epoch, and told
	s.observe(replay.Cursor{Epoch: 2, Revision: 2})
	if s.gaps != 1 || s.violations != (violations{}) {
		t.Errorf("told of a gap: %+v", s)
	}
	s.observe(replay.Cursor{Epoch: 3, Revision: 1}) // not told
	s.end(replay.Cursor{Epoch: 4, Revision: 9})     // nothing is known of that epoch
	if s.gaps != 1 || s.violations != (violations{Lost: 1}) {
		t.Errorf("not told: %+v", s)
	}
}

// What is skipped is counted, though only a bounded part of it is remembered.
func TestSequence_LargeSkip(t *testing.T) {
	var s sequence
	s.begin(replay.Cursor{Epoch: 1, Revision: 1})
	s.observe(replay.Cursor{Epoch: 1, Revision: 10_002})
	s.observe(replay.Cursor{Epoch: 1, Revision: 2})
	s.observe(replay.Cursor{Epoch: 1, Revision: 10_001})
	if len(s.missing) > maxMissing || s.violations != (violations{Lost: 9_999, Reordered: 1, Repeated: 1}) {
		t.Errorf("%+v, %d remembered", s.violations, len(s.missing))
	}
}

func TestExcerpt(t *testing.T) {
	whole := strings.Repeat("0123456789abcdef", 1000)
	for _, size := range []int{1, 7, 500, 513, 1024, 1500, 16_000} {
		var e excerpt
		for rest := whole; rest != ""; {
			n := min(size, len(rest))
			e.add([]byte(rest[:n]))
			rest = rest[n:]
		}
		if want := whole[:headBytes] + whole[len(whole)-tailBytes:]; string(e.text) != want {
			t.Errorf("parts of %d: %d bytes, want head and tail", size, len(e.text))
		}
	}
	var short excerpt
	short.add([]byte("ab"))
	short.add([]byte("c"))
	if string(short.text) != "abc" {
		t.Errorf("got %q", short.text)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for value := range int64(100_000) {
		h.add(value)
	}
	h.add(-1)
	got := h.summary()
	for _, test := range []struct{ got, want int64 }{{got.P50, 50_000}, {got.P90, 90_000}, {got.P99, 99_000}, {got.Max, 99_999}} {
		if off := test.got - test.want; off < -test.want/30 || off > test.want/30 {
			t.Errorf("got %d, want about %d", test.got, test.want)
		}
	}
	if got.Count != 100_001 {
		t.Errorf("count %d", got.Count)
	}
	h.add(1 << 62)
	if got := h.summary(); got.Max != 1<<62 {
		t.Errorf("max %d", got.Max)
	}
	if empty := new(histogram).summary(); empty != (latency{}) {
		t.Errorf("an empty histogram has %+v", empty)
	}
}

func TestSentAt(t *testing.T) {
	for frame, want := range map[string]int64{
		`{"type":"transaction","currentState":{"sentAt":12,"pad":""}}`:                               12,
		`{"type":"transaction","patch":[{"op":"replace","path":"/sentAt","value":34}],"revision":9}`: 34,
		`{"type":"transaction","currentState":null}`:                                                 0,
	} {
		if got := sentAt([]byte(frame)); got != want {
			t.Errorf("%s: %d", frame, got)
		}
	}
	const microseconds = 1_700_000_000_000_000
	if data := filled(proposalData(128), microseconds); len(data) != 128 || sentAt([]byte(data)) != microseconds {
		t.Errorf("proposed data %s has %d bytes", data, len(data))
	}
}

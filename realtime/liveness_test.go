package realtime

import (
	"testing"
)

func TestLiveness(t *testing.T) {
	type beat struct {
		heard, written uint64
		busy           bool
		lives          bool
	}
	for _, test := range []struct {
		name   string
		silent bool // it does not answer pings
		beats  []beat
	}{
		{"no ping was sent yet", false, []beat{{0, 0, false, true}}},
		{"pongs", false, []beat{{0, 0, false, true}, {6, 2, false, true}, {12, 4, false, true}}},
		{"no pong", false, []beat{{0, 0, false, true}, {0, 2, false, false}}},
		{"the network accepts bytes for a dead peer", false, []beat{{0, 0, false, true}, {0, 5000, false, false}}},
		{"reads what it is sent", false, []beat{{0, 0, true, true}, {0, 5000, true, true}, {0, 9000, true, true}}},
		{"reads no more", false, []beat{{0, 0, true, true}, {0, 5000, true, true}, {0, 5000, true, false}}},
		{"sends but reads nothing", false, []beat{{0, 0, true, true}, {6, 0, true, true}, {12, 0, true, true}}},
		{"read the rest, then a pong", false, []beat{{0, 0, true, true}, {0, 5000, false, true}, {6, 5002, false, true}}},
		{"read the rest, then died", false, []beat{{0, 0, true, true}, {0, 5000, false, true}, {0, 5002, false, false}}},
		{"is silent", true, []beat{{0, 0, false, true}, {0, 2, false, true}, {0, 4, false, true}}},
		{"is silent, and is being sent something", true, []beat{{0, 0, false, true}, {0, 2, true, true}, {0, 9, false, true}}},
		{"is silent, and slow", true, []beat{{0, 0, true, true}, {0, 5000, true, true}, {0, 9000, true, true}}},
		{"is silent, and reads no more", true, []beat{{0, 0, true, true}, {0, 5000, true, true}, {0, 5000, true, false}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p liveness
			for i, b := range test.beats {
				if got := p.beat(b.heard, b.written, b.busy, !test.silent); got != b.lives {
					t.Fatalf("beat %d: lives %v, want %v", i+1, got, b.lives)
				}
			}
		})
	}
}

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
		name  string
		beats []beat
	}{
		{"a new connection was not asked yet", []beat{{0, 0, false, true}}},
		{"answers", []beat{{0, 0, false, true}, {6, 2, false, true}, {12, 4, false, true}}},
		{"does not answer", []beat{{0, 0, false, true}, {0, 2, false, false}}},
		{"the network takes bytes for the dead", []beat{{0, 0, false, true}, {0, 5000, false, false}}},
		{"takes what it is sent", []beat{{0, 0, true, true}, {0, 5000, true, true}, {0, 9000, true, true}}},
		{"takes no more", []beat{{0, 0, true, true}, {0, 5000, true, true}, {0, 5000, true, false}}},
		{"speaks but takes nothing", []beat{{0, 0, true, true}, {6, 0, true, true}, {12, 0, true, true}}},
		{"took the rest, then answers the ping", []beat{{0, 0, true, true}, {0, 5000, false, true}, {6, 5002, false, true}}},
		{"took the rest, then died", []beat{{0, 0, true, true}, {0, 5000, false, true}, {0, 5002, false, false}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p liveness
			for i, b := range test.beats {
				if got := p.beat(b.heard, b.written, b.busy); got != b.lives {
					t.Fatalf("beat %d: lives %v, want %v", i+1, got, b.lives)
				}
			}
		})
	}
}

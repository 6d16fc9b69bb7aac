package sharedata

import (
	"testing"

	"github.com/safe-go/safe/replay"
)

// Announced entries are kept when a refresh is asked for too.
func TestNotifications_EntriesAndRefresh(t *testing.T) {
	var n notifications
	for range 3 {
		n.add([]replay.Entry{{}})
		n.add(nil)
	}
	if !n.refresh || len(n.entries) != 3 {
		t.Errorf("%d entries, refresh %v", len(n.entries), n.refresh)
	}
}

// What is announced faster than it is applied must not fill the memory. Beyond the
// bound the position is refreshed instead.
func TestNotifications_Bounded(t *testing.T) {
	entries := func(n, bytes int) []replay.Entry {
		made := make([]replay.Entry, n)
		for i := range made {
			made[i].Data = make([]byte, bytes)
		}
		return made
	}
	for _, test := range []struct {
		name  string
		batch []replay.Entry
		times int // that fit
	}{
		{"small ones", entries(1, 10), maxNotified},
		{"small ones in large batches", entries(maxNotified/4, 10), 4},
		{"large ones", entries(1, maxNotifiedBytes/4), 4},
		{"too many at once", entries(maxNotified+1, 0), 0},
		{"too much at once", entries(2, maxNotifiedBytes), 0},
		{"a request to refresh", nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var n notifications
			if !n.isEmpty() {
				t.Error("it is not empty at first")
			}
			for i := range test.times {
				if n.add(test.batch); n.refresh || len(n.entries) != (i+1)*len(test.batch) {
					t.Fatalf("batch %d: %d entries, refresh %v", i, len(n.entries), n.refresh)
				}
			}
			for range 3 {
				n.add(test.batch)
				if !n.refresh || n.entries != nil || n.isEmpty() {
					t.Fatalf("beyond the bound: %d entries, refresh %v", len(n.entries), n.refresh)
				}
			}
		})
	}
}

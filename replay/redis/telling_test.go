package redis

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/replay"
)

// told runs a telling in a bubble, with followers that note what they are told:
// the revision of the first entry of each batch, 0 for nil.
func told(t *testing.T, test func(t *testing.T, q *telling, follower func(notes *[]uint64, during func()) *follow)) {
	synctest.Test(t, func(t *testing.T) {
		q := newTelling()
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go q.run(ctx)
		test(t, q, func(notes *[]uint64, during func()) *follow {
			return &follow{tell: func(entries []replay.Entry) {
				during()
				revision := uint64(0)
				if len(entries) > 0 {
					revision = entries[0].Cursor.Revision
				}
				*notes = append(*notes, revision)
			}}
		})
		synctest.Wait()
		if q.bytes != 0 {
			t.Errorf("%d bytes wait when all is told", q.bytes)
		}
	})
}

func one(revision uint64, size int) []replay.Entry {
	return []replay.Entry{{Cursor: at(revision), Data: make([]byte, size)}}
}

func TestWhatIsToldIsToldInOrder(t *testing.T) {
	told(t, func(t *testing.T, q *telling, follower func(*[]uint64, func()) *follow) {
		var a, b []uint64
		wa, wb := follower(&a, func() {}), follower(&b, func() {})
		for i := range uint64(10) {
			q.push(wa, one(i+1, 10))
			q.push(wb, one(i+1, 10))
			if i%5 == 4 {
				q.push(wb, nil)
				q.push(wb, nil) // is the same
			}
		}
		synctest.Wait()
		if got, want := a, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(got, want) {
			t.Errorf("told %d; want %d", got, want)
		}
		if got, want := slices.Compact(b), []uint64{1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 10, 0}; !slices.Equal(got, want) {
			t.Errorf("told %d; want %d", got, want)
		}
		q.stop(wa)
		q.push(wa, one(11, 10))
		q.push(wb, one(11, 10))
		synctest.Wait()
		if len(a) != 10 || b[len(b)-1] != 11 {
			t.Errorf("after a stop told %d and %d", a, b)
		}
	})
}

// Whoever is slow is told to look, and keeps nobody's memory.
func TestASlowFollowerIsToldToLook(t *testing.T) {
	for name, test := range map[string]struct{ batches, size int }{
		"many":  {maxTold + 10, 10},
		"large": {20, maxToldBytes / 10},
	} {
		t.Run(name, func(t *testing.T) {
			told(t, func(t *testing.T, q *telling, follower func(*[]uint64, func()) *follow) {
				var notes []uint64
				release := make(chan struct{})
				w := follower(&notes, func() { <-release })
				for i := range uint64(test.batches) {
					q.push(w, one(i+1, test.size))
					synctest.Wait()
				}
				q.mu.Lock()
				if len(w.queue) > maxTold || w.bytes > maxToldBytes || q.bytes != w.bytes {
					t.Errorf("%d batches and %d bytes wait, %d in all", len(w.queue), w.bytes, q.bytes)
				}
				q.mu.Unlock()
				close(release)
				synctest.Wait()
				// What was dropped lies before the call to look; what comes after it is
				// told.
				look := -1
				for i, note := range notes {
					if note == 0 {
						look = i
					}
				}
				if look < 0 || len(notes) >= test.batches || notes[len(notes)-1] != uint64(test.batches) {
					t.Errorf("told %d", notes)
				}
			})
		})
	}
}

func TestAllThatWaitsIsBounded(t *testing.T) {
	told(t, func(t *testing.T, q *telling, follower func(*[]uint64, func()) *follow) {
		release := make(chan struct{})
		const many = 2 * maxAllBytes / (maxToldBytes / 2)
		looks := 0
		for range many {
			var own []uint64
			w := follower(&own, func() { <-release })
			q.push(w, one(1, maxToldBytes/2))
			synctest.Wait()
			q.mu.Lock()
			if q.bytes > maxAllBytes {
				t.Fatalf("%d bytes wait", q.bytes)
			}
			if len(w.queue) > 0 && w.queue[0] == nil {
				looks++
			}
			q.mu.Unlock()
		}
		if looks < many/3 {
			t.Errorf("%d of %d were told to look", looks, many)
		}
		close(release)
	})
}

// A follower may stop itself, and another one, while it is told.
func TestStopWhileTelling(t *testing.T) {
	told(t, func(t *testing.T, q *telling, follower func(*[]uint64, func()) *follow) {
		var a, b []uint64
		var wa, wb *follow
		wa = follower(&a, func() { q.stop(wa); q.stop(wb) })
		wb = follower(&b, func() {})
		for i := range uint64(3) {
			q.push(wa, one(i+1, 10))
			q.push(wb, one(i+1, 10))
		}
		synctest.Wait()
		if len(a) != 1 || len(b) > 1 {
			t.Errorf("told %d and %d", a, b)
		}
	})
}

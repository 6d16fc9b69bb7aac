package sharedata_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func entriesAfter(t *testing.T, m *sharedata.Manager, after replay.Cursor) ([]sharedata.Entry, error) {
	t.Helper()
	var entries []sharedata.Entry
	for e, err := range m.History(t.Context(), "counter", after) {
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// A reader who missed little is served from memory what the store would have
// returned, also while the store is unavailable.
func TestRecent_NeedsNoStore(t *testing.T) {
	for _, reachable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			shared := sharedstore.New()
			a := newNode(t, shared.Process(), nil)
			b := newNode(t, shared.Process(), &sharedata.Options{RecentEntries: 10})
			ensureCounter(t, a)
			ensureCounter(t, b)
			a.add(t, 1)
			mustObserve(t, b.Manager, "counter", &recorder{})
			for i := range 25 {
				n := []node{a, b}[i%2]
				if _, err := n.Propose(t.Context(), addition("counter", i%4-2, "")); err != nil { // some are rejected
					t.Fatal(err)
				}
				synctest.Wait()
			}
			head := b.get(t).Cursor
			b.process.SetReachable(reachable)
			for back := range uint64(15) {
				after := replay.Cursor{Epoch: head.Epoch, Revision: head.Revision - back}
				want, err := entriesAfter(t, a.Manager, after)
				if err != nil {
					t.Fatal(err)
				}
				reads := 0
				var got []sharedata.Entry
				reads = b.calls("Read", func() { got, err = entriesAfter(t, b.Manager, after) })
				switch {
				case back <= 10 && reads != 0:
					t.Errorf("%d back costs %d reads", back, reads)
				case back > 10 && reads == 0:
					t.Errorf("%d back costs no read", back)
				case back > 10 && !reachable:
					wantStoreError(t, err, "read", "counter", replay.ErrUnavailable)
				case err != nil || !slices.EqualFunc(got, want, func(a, b sharedata.Entry) bool { return a.Hash == b.Hash && line(a) == line(b) }):
					t.Errorf("%d back: %d entries (%v), want %d", back, len(got), err, len(want))
				}
			}
		})
	}
}

// Of cursors that are not kept in memory, the store says why they cannot be
// continued.
func TestRecent_OtherCursors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		a.add(t, 1)
		mustObserve(t, b.Manager, "counter", &recorder{})
		a.add(t, 1)
		synctest.Wait()
		head := b.get(t).Cursor
		for name, test := range map[string]struct {
			after replay.Cursor
			want  error
		}{
			"the future":       {head.Next(), replay.ErrFutureCursor},
			"the far future":   {replay.Cursor{Epoch: head.Epoch, Revision: 1<<64 - 1}, replay.ErrFutureCursor},
			"an earlier epoch": {replay.Cursor{Epoch: head.Epoch - 1, Revision: head.Revision}, replay.ErrUnknownEpoch},
			"a later epoch":    {replay.Cursor{Epoch: head.Epoch + 1, Revision: head.Revision}, replay.ErrUnknownEpoch},
		} {
			if got, err := entriesAfter(t, b.Manager, test.after); !errors.Is(err, test.want) || len(got) != 0 {
				t.Errorf("%s: %d entries, %v", name, len(got), err)
			}
		}
		wantHistory(t, b.Manager, "counter", "1 created", `2 add {"by":1} accepted`, `3 add {"by":1} accepted`)
	})
}

// After a reset the cursors from before it are of another epoch.
func TestRecent_AfterReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen recorder
		mustObserve(t, b.Manager, "counter", &seen)
		a.add(t, 1)
		synctest.Wait()
		old := b.get(t).Cursor
		b.process.LoseAnnouncements(true)
		created := recreate(t, a, 50)
		b.process.LoseAnnouncements(false)
		b.process.Check()
		synctest.Wait()
		a.add(t, 1)
		synctest.Wait()
		if got, err := entriesAfter(t, b.Manager, old); !errors.Is(err, replay.ErrUnknownEpoch) {
			t.Errorf("%d entries, %v", len(got), err)
		}
		b.process.SetReachable(false)
		got, err := entriesAfter(t, b.Manager, created.Cursor)
		if err != nil || len(got) != 1 || got[0].Cursor != created.Cursor.Next() {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := entriesAfter(t, b.Manager, old); err == nil {
			t.Errorf("%d entries of an epoch that is over", len(got))
		}
	})
}

func TestRecent_ManyPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		b := newNode(t, shared.Process(), &sharedata.Options{RecentEntries: 1000})
		ensureCounter(t, b)
		snapshot, _ := mustObserve(t, b.Manager, "counter", &recorder{})
		for range 600 {
			b.add(t, 1)
		}
		b.process.SetReachable(false)
		got, err := entriesAfter(t, b.Manager, snapshot.Cursor)
		if err != nil || len(got) != 600 {
			t.Fatalf("%d entries, %v", len(got), err)
		}
		for i, e := range got {
			if e.Revision() != uint64(i)+2 {
				t.Fatalf("entry %d is %s", i, fmt.Sprint(e.Cursor))
			}
		}
	})
}

// Nothing is kept of what is not followed, and -1 keeps nothing at all.
func TestRecent_NotKept(t *testing.T) {
	for _, entries := range []int{-1, 0} {
		synctest.Test(t, func(t *testing.T) {
			shared := sharedstore.New()
			b := newNode(t, shared.Process(), &sharedata.Options{RecentEntries: entries})
			before := ensureCounter(t, b)
			_, stop := mustObserve(t, b.Manager, "counter", &recorder{})
			b.add(t, 1)
			reads := func() int {
				return b.calls("Read", func() {
					if got, err := entriesAfter(t, b.Manager, before.Cursor); err != nil || len(got) != 1 {
						t.Errorf("%d entries, %v", len(got), err)
					}
				})
			}
			if n := reads(); (n == 0) != (entries == 0) {
				t.Errorf("RecentEntries %d: %d reads while it is followed", entries, n)
			}
			stop()
			if n := reads(); n == 0 {
				t.Errorf("RecentEntries %d: history that is not followed is read from memory", entries)
			}
		})
	}
}

package replaytest

import (
	"fmt"
	"math"

	"github.com/safe-go/safe/replay"
)

func readsWhatFollowed(f *fixture) {
	h := f.open()
	want := h.grown("id", 9)
	h.started("other", many("other ", 50)...)
	n := len(want.entries)
	for revision := range n + 1 {
		after := want.at(uint64(revision))
		for _, limit := range []int{1, 2, 7, n - 1, n, n + 1, math.MaxInt} {
			following := want.after(after)
			h.sameEntries("Read", h.read("id", after, limit), following[:min(limit, len(following))])
		}
		for _, limit := range []int{0, -1, math.MinInt} {
			h.sameEntries("Read with a limit below 1", h.read("id", after, limit), nil)
		}
	}
	h.holds("id", want)
}

func refusesCursors(f *fixture) {
	h := f.open()
	want := h.started("id", many("entry ", 5)...)
	for _, revision := range []uint64{0, 1, 4, 5, 6, math.MaxUint64} {
		for _, epoch := range []uint64{1, firstEpoch - 1, firstEpoch + 1, math.MaxUint64} {
			h.readRefused("id", want, replay.Cursor{Epoch: epoch, Revision: revision}, replay.ErrUnknownEpoch, 1)
		}
	}
	h.readRefused("id", want, replay.Cursor{}, replay.ErrUnknownEpoch, 1)
	for _, revision := range []uint64{6, 7, 1 << 40, 1 << 62, math.MaxUint64} {
		h.readRefused("id", want, want.at(revision), replay.ErrFutureCursor, 1)
	}
	h.holds("id", want)
	h.holdsNothing("other", &history{})
}

func findsNewest(f *fixture) {
	h := f.open()
	want := h.started("id", keyed("a", "", "b")...)
	h.commit("id", want, want.next(keyed("c")...))
	h.commit("id", want, want.next(keyed("", "d", "")...))
	h.started("other", keyed("e", "x", "f")...)
	tests := []struct {
		keys []string
		want []uint64
	}{
		{keys: nil},
		{keys: []string{}},
		{keys: []string{"a"}, want: []uint64{1}},
		{keys: []string{"b"}, want: []uint64{3}},
		{keys: []string{"d", "c", "b", "a"}, want: []uint64{1, 3, 4, 6}},
		{keys: []string{"a", "absent", "d"}, want: []uint64{1, 6}},
		{keys: []string{"a", "a", "c", "a", "c"}, want: []uint64{1, 4}},
		{keys: []string{"absent", "A", "a ", "e", "f"}},
		{keys: []string{""}},
		{keys: []string{"", "b", ""}, want: []uint64{3}},
	}
	for _, test := range tests {
		var entries []replay.Entry
		for _, revision := range test.want {
			entries = append(entries, want.entries[revision-1])
		}
		h.sameEntries(fmt.Sprintf("Find of %q", test.keys), h.find("id", test.keys...), entries)
	}
	for _, keys := range [][]string{{"twice", "once"}, {"", "twice"}, {"twice", "twice"}} {
		h.commit("id", want, want.next(keyed(keys...)...))
		h.sameEntries("Find of a key that repeats", h.find("id", "twice"), []replay.Entry{*want.newest("twice")})
	}
	h.finds("id", want, 1, "twice", "once", "a")
}

func idsAreComplete(f *fixture) {
	h := f.open()
	h.sameIDs()
	wants := make(map[string]*history)
	var ids []string
	for i := range 150 {
		id := fmt.Sprint("id ", i)
		ids, wants[id] = append(ids, id), h.started(id)
	}
	h.sameIDs(ids...)
	for _, id := range ids[:50] {
		h.commit(id, wants[id], wants[id].end())
	}
	h.sameIDs(ids[50:]...)
	for _, id := range ids[:10] {
		h.commit(id, wants[id], start(firstEpoch+1, contents("again")...))
	}
	h.sameIDs(append(ids[50:], ids[:10]...)...)

	count := 0
	for _, err := range h.store.IDs(h.ctx) {
		if err != nil {
			h.Fatalf("IDs: %v", err)
		}
		if count++; count == 3 {
			break
		}
	}
	if count != 3 {
		h.Errorf("IDs yielded %d ids to a loop that ends after 3", count)
	}
	// The loop may use the store.
	for id, err := range h.store.IDs(h.ctx) {
		if err != nil {
			h.Fatalf("IDs: %v", err)
		}
		want := wants[id]
		if want == nil || !want.exists() {
			h.Fatalf("IDs yields %.40q twice, or where it never was", id)
		}
		h.holds(id, want)
		h.commit(id, want, want.next(contents("more")...))
		h.holds(id, want)
		h.commit(id, want, want.end())
	}
	for id, want := range wants {
		if want.exists() {
			h.Errorf("IDs left out %q, which was there all along", id)
		}
	}
	h.sameIDs()
}

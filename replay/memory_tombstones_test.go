package replay

import (
	"strconv"
	"testing"
)

func TestTombstones(t *testing.T) {
	var removed tombstones
	if last := removed.last("id"); !last.IsZero() {
		t.Fatalf("no history was removed, but the last position of one is %s", last)
	}
	// The epochs go up and down, so that the latest is not the newest.
	exact := func(i int) Cursor { return Cursor{Epoch: uint64(1 + i*7919%1000), Revision: uint64(i + 1)} }
	for i := range 20 * maxTombstones {
		removed.add(strconv.Itoa(i), exact(i))
		for j := range i + 1 {
			last := removed.last(strconv.Itoa(j))
			switch want := exact(j); {
			case i-j < maxTombstones && last != want:
				t.Fatalf("after %d: %d ended at %s, not at %s", i, j, want, last)
			case last.Epoch < want.Epoch:
				t.Fatalf("after %d: %d ended at %s, but the last position is %s", i, j, want, last)
			}
		}
		if n := len(removed.newer) + len(removed.older); n > 2*maxTombstones {
			t.Fatalf("after %d: %d are remembered", i, n)
		}
	}
}

func TestTombstones_SameIDAgain(t *testing.T) {
	var removed tombstones
	for i := range maxTombstones - 1 {
		removed.add(strconv.Itoa(i), Cursor{Epoch: 5, Revision: uint64(i)})
	}
	for i := range 1000 {
		removed.add("again", Cursor{Epoch: uint64(10 + i), Revision: 1})
	}
	if got, want := removed.last("0"), (Cursor{Epoch: 5}); got != want {
		t.Errorf("0 ended at %s, not at %s", want, got)
	}
	if got, want := removed.last("again"), (Cursor{Epoch: 1009, Revision: 1}); got != want {
		t.Errorf("it ended at %s last, not at %s", want, got)
	}
	if !removed.last("never").IsZero() {
		t.Errorf("a history that never was ended at %s", removed.last("never"))
	}
}

func TestTombstones_AreBounded(t *testing.T) {
	m, err := NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	var epoch uint64
	for i := range 50_000 {
		id := strconv.Itoa(i)
		epoch++
		batch := Batch{Entries: []Entry{{Cursor: Cursor{Epoch: epoch, Revision: 1}, Key: "key"}}, Snapshot: []byte("state")}
		batch.Remove = i%2 == 0
		if err := m.Append(t.Context(), id, batch); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			continue
		}
		end := Batch{Expect: batch.Last(), Entries: []Entry{{Cursor: batch.Last().Next()}}, Remove: true}
		if err := m.Append(t.Context(), id, end); err != nil {
			t.Fatal(err)
		}
	}
	remembered := 0
	for i := range m.shards {
		s := &m.shards[i]
		if len(s.histories) != 0 {
			t.Fatalf("%d histories are left", len(s.histories))
		}
		remembered += len(s.tombstones.newer) + len(s.tombstones.older)
	}
	if want := 2 * maxTombstones * len(m.shards); remembered == 0 || remembered > want {
		t.Errorf("%d removed histories are remembered; want at most %d", remembered, want)
	}
}

package replay

import (
	"strconv"
	"testing"
)

func TestEndingsKnowTheNewestExactlyAndTheOthersAtLeast(t *testing.T) {
	var e endings
	if last := e.last("id"); !last.IsZero() {
		t.Fatalf("no history has ended, but the last of one is %s", last)
	}
	// Epochs that go up and down, so that the latest is not the newest.
	ended := func(i int) Cursor { return Cursor{Epoch: uint64(1 + i*7919%1000), Revision: uint64(i + 1)} }
	for i := range 20 * maxEndings {
		e.add(strconv.Itoa(i), ended(i))
		for j := range i + 1 {
			last := e.last(strconv.Itoa(j))
			switch exact := ended(j); {
			case i-j < maxEndings && last != exact:
				t.Fatalf("after %d: %d ended at %s, not at %s", i, j, exact, last)
			case last.Epoch < exact.Epoch:
				t.Fatalf("after %d: %d ended at %s, which is later than %s", i, j, exact, last)
			}
		}
		if n := len(e.newer) + len(e.older); n > 2*maxEndings {
			t.Fatalf("after %d: %d are remembered", i, n)
		}
	}
}

func TestAnIDThatComesAndGoesPushesNoOtherOut(t *testing.T) {
	var e endings
	for i := range maxEndings - 1 {
		e.add(strconv.Itoa(i), Cursor{Epoch: 5, Revision: uint64(i)})
	}
	for i := range 1000 {
		e.add("again", Cursor{Epoch: uint64(10 + i), Revision: 1})
	}
	if got, want := e.last("0"), (Cursor{Epoch: 5}); got != want {
		t.Errorf("0 ended at %s, not at %s", want, got)
	}
	if got, want := e.last("again"), (Cursor{Epoch: 1009, Revision: 1}); got != want {
		t.Errorf("it ended at %s last, not at %s", want, got)
	}
	if !e.last("never").IsZero() {
		t.Errorf("a history that never was ended at %s", e.last("never"))
	}
}

func TestAMemoryOfManyRemovedHistoriesStaysSmall(t *testing.T) {
	m, err := NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	var epoch uint64
	for i := range 50_000 {
		id := strconv.Itoa(i)
		epoch++
		batch := Batch{Entries: []Entry{{Cursor: Cursor{Epoch: epoch, Revision: 1}, Key: "key"}}}
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
		remembered += len(s.endings.newer) + len(s.endings.older)
	}
	if want := 2 * maxEndings * len(m.shards); remembered == 0 || remembered > want {
		t.Errorf("%d removed histories are remembered; want at most %d", remembered, want)
	}
}

package replay

import (
	"math/rand/v2"
	"testing"
)

func TestRing(t *testing.T) {
	var r ring
	pushed, popped := uint64(0), uint64(0)
	push := func() {
		pushed++
		r.push(kept{Entry: Entry{Cursor: Cursor{Revision: pushed}}})
	}
	pop := func() {
		popped++
		if got := r.pop().Cursor.Revision; got != popped {
			t.Fatalf("popped %d; want %d", got, popped)
		}
	}
	check := func() {
		if r.len() != int(pushed-popped) {
			t.Fatalf("%d entries; want %d", r.len(), pushed-popped)
		}
		for i := range r.len() {
			if got := r.at(i).Cursor.Revision; got != popped+1+uint64(i) {
				t.Fatalf("entry %d is %d; want %d", i, got, popped+1+uint64(i))
			}
		}
		used := 0
		for i := range r.slots {
			if r.slots[i].Cursor.Revision != 0 {
				used++
			}
		}
		if used != r.len() {
			t.Fatalf("%d slots hold something; want %d", used, r.len())
		}
		if len(r.slots) > max(minRing, 4*r.len()) {
			t.Fatalf("%d slots for %d entries", len(r.slots), r.len())
		}
	}
	const seed = 1
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		// Half of the runs grow the ring, and half shrink it.
		up := random.IntN(100)
		for range random.IntN(100) {
			if random.IntN(100) < up {
				push()
			} else if r.len() > 0 {
				pop()
			}
			check()
		}
	}
	for r.len() > 0 {
		pop()
	}
	check()
}

func TestRing_Allocations(t *testing.T) {
	for _, length := range []int{1, 3, 4, 5, 1000, 1023, 1024, 1025} {
		var r ring
		for range length {
			r.push(kept{})
		}
		step := func() {
			r.push(kept{})
			r.pop()
		}
		step()
		if allocs := testing.AllocsPerRun(2*length, step); allocs != 0 {
			t.Errorf("a ring of %d allocates %v times per push and pop", length, allocs)
		}
	}
}

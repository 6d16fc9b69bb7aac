package replay

// ring is a queue of kept entries in a circular buffer that grows and shrinks
// with their number. The length of slots is a power of two, so that positions
// wrap with a mask. Slots without an entry are zero, so that they keep nothing
// from the garbage collector.
type ring struct {
	slots []kept
	first int
	count int
}

const minRing = 4

func (r *ring) len() int { return r.count }

// at returns the i-th oldest entry. It is valid until the next push or pop.
func (r *ring) at(i int) *kept { return &r.slots[(r.first+i)&(len(r.slots)-1)] }

// push adds the newest entry.
func (r *ring) push(entry kept) {
	if r.count == len(r.slots) {
		r.resize(max(minRing, 2*len(r.slots)))
	}
	r.count++
	*r.at(r.count - 1) = entry
}

// pop removes and returns the oldest entry.
func (r *ring) pop() kept {
	oldest := r.at(0)
	entry := *oldest
	*oldest = kept{}
	r.first = (r.first + 1) & (len(r.slots) - 1)
	r.count--
	// A quarter, not a half, so that a push and a pop in turn never resize it.
	if len(r.slots) > minRing && r.count <= len(r.slots)/4 {
		r.resize(len(r.slots) / 2)
	}
	return entry
}

func (r *ring) resize(length int) {
	slots := make([]kept, length)
	for i := range r.count {
		slots[i] = *r.at(i)
	}
	r.slots, r.first = slots, 0
}

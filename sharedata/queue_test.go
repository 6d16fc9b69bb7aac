package sharedata

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// queueModel is the rotation of a requestQueue in its simplest form.
type queueModel struct {
	turns   []int            // proposers that wait, in the order of their turns
	waiting map[int][]uint64 // sequence numbers by proposer, oldest first
	current int              // the proposer whose request was taken last; -1 for none
}

func (m *queueModel) push(proposer int, sequence uint64) {
	if len(m.waiting[proposer]) == 0 && m.current != proposer {
		m.turns = append(m.turns, proposer)
	}
	m.waiting[proposer] = append(m.waiting[proposer], sequence)
}

// pop returns the next sequence number and its proposer; 0 where nothing waits.
func (m *queueModel) pop() (sequence uint64, proposer int) {
	if m.current >= 0 && len(m.waiting[m.current]) > 0 {
		m.turns = append(m.turns, m.current)
	}
	if m.current = -1; len(m.turns) == 0 {
		return 0, 0
	}
	m.current, m.turns = m.turns[0], m.turns[1:]
	sequence = m.waiting[m.current][0]
	m.waiting[m.current] = m.waiting[m.current][1:]
	return sequence, m.current
}

func (m *queueModel) popUpTo(limit uint64) (popped []uint64) {
	type item struct {
		sequence uint64
		proposer int
	}
	var newer []item
	for sequence, proposer := m.pop(); sequence > 0; sequence, proposer = m.pop() {
		if sequence <= limit {
			popped = append(popped, sequence)
		} else {
			newer = append(newer, item{sequence, proposer})
		}
	}
	for _, i := range newer {
		m.push(i.proposer, i.sequence)
	}
	return popped
}

func sequences(requests []*request) (numbers []uint64) {
	for _, r := range requests {
		numbers = append(numbers, r.sequence)
	}
	return numbers
}

func pushFrom(q *requestQueue, connection string) {
	q.pushLocked(&request{proposer: proposer{connection: connection}})
}

// The number of proposers varies around fewTurns, where the queue changes the way in
// which it finds a proposer's turn.
func TestQueue_Model(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var q requestQueue
		m := queueModel{waiting: make(map[int][]uint64), current: -1}
		proposers := 1 + random.IntN(3*fewTurns)
		for range 300 {
			switch choice := random.IntN(100); {
			case choice < 55:
				p := random.IntN(proposers)
				pushFrom(&q, fmt.Sprint(p))
				m.push(p, q.newest())
			case choice < 98:
				var got uint64
				if r := q.pop(); r != nil {
					got = r.sequence
				}
				if want, _ := m.pop(); got != want {
					t.Fatalf("seed %d: pop returned request %d, want %d", seed, got, want)
				}
			default:
				limit := q.newest() - min(q.newest(), random.Uint64N(20))
				if got, want := sequences(q.popUpTo(limit)), m.popUpTo(limit); !slices.Equal(got, want) {
					t.Fatalf("seed %d: popUpTo(%d) returned %d, want %d", seed, limit, got, want)
				}
			}
			waiting := 0
			for _, w := range m.waiting {
				waiting += len(w)
			}
			if q.waiting != waiting || q.hasRequests() != (waiting > 0) {
				t.Fatalf("seed %d: %d requests are counted, want %d", seed, q.waiting, waiting)
			}
		}
		for q.pop() != nil {
		}
		if q.count != 0 || q.turns != nil || q.first != nil || q.last != nil || q.current != nil {
			t.Fatalf("seed %d: the empty queue keeps %d turns: %+v", seed, q.count, q.turns)
		}
	}
}

// Newer requests keep their order, and their proposers' turns.
func TestQueue_PopUpTo(t *testing.T) {
	var q requestQueue
	for range 2 {
		for _, c := range []string{"a", "b", "c"} {
			pushFrom(&q, c)
		}
	}
	if got := sequences(q.popUpTo(4)); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Errorf("popped %d, want 1 to 4", got)
	}
	pushFrom(&q, "a")
	pushFrom(&q, "b")
	if got := sequences(q.popUpTo(q.newest())); !slices.Equal(got, []uint64{5, 6, 7, 8}) {
		t.Errorf("popped %d, want 5 to 8", got)
	}
	if q.hasRequests() {
		t.Error("the queue is not empty")
	}
}

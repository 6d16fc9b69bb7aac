package realtime

// fifo has values in the order in which they came. The zero value is empty.
type fifo[T any] struct {
	items []T // from first on
	first int
}

func (q *fifo[T]) len() int { return len(q.items) - q.first }

// all returns the values, the oldest first, until the next push or pop.
func (q *fifo[T]) all() []T { return q.items[q.first:] }

func (q *fifo[T]) push(value T) {
	if len(q.items) == cap(q.items) && q.first > len(q.items)/2 {
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	q.items = append(q.items, value)
}

// pop takes the oldest value, which there must be.
func (q *fifo[T]) pop() T {
	value := q.items[q.first]
	clear(q.items[q.first : q.first+1])
	if q.first++; q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	}
	return value
}

package schedule

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// item is a proposal that waits, as the queue knows it.
type item struct {
	id   string
	part int
	at   time.Time
	// due is when it is to be looked at: its time, or later where it is to be tried
	// again or another process makes it.
	due time.Time
	// begun is which process makes it, as far as is known.
	begun    *begun
	attempts int
	index    int // in the queue; -1 while it is being made
}

// queue has what waits, in the order in which it becomes due.
type queue struct {
	items  map[string]*item // by id, also those that are being made
	inPart [parts]int       // how many of them are in each part
	due    dueOrder
}

// add adds a proposal unless it is there, in place of one with another time.
func (q *queue) add(id string, part int, at, due time.Time) {
	if i := q.items[id]; i != nil && i.at.Equal(at) {
		return
	}
	q.remove(id)
	i := &item{id: id, part: part, at: at, due: due}
	q.items[id] = i
	q.inPart[part]++
	heap.Push(&q.due, i)
}

// remove removes a proposal.
func (q *queue) remove(id string) {
	i := q.items[id]
	if i == nil {
		return
	}
	delete(q.items, id)
	q.inPart[i.part]--
	if i.index >= 0 {
		heap.Remove(&q.due, i.index)
	}
}

// take removes what is due from the order, at most n.
func (q *queue) take(now time.Time, n int) (taken []*item) {
	for len(q.due) > 0 && len(taken) < n && !q.due[0].due.After(now) {
		taken = append(taken, heap.Pop(&q.due).(*item))
	}
	return taken
}

// putBack adds what was taken to the order again, unless it was removed meanwhile.
func (q *queue) putBack(i *item, due time.Time) {
	if q.items[i.id] == i && i.index < 0 {
		i.due = due
		heap.Push(&q.due, i)
	}
}

// delay changes when a proposal is due.
func (q *queue) delay(i *item, due time.Time) {
	i.due = due
	if i.index >= 0 {
		heap.Fix(&q.due, i.index)
	}
}

// next returns when something becomes due.
func (q *queue) next() (at time.Time, some bool) {
	if len(q.due) == 0 {
		return time.Time{}, false
	}
	return q.due[0].due, true
}

// dueOrder implements heap.Interface.
type dueOrder []*item

func (d dueOrder) Len() int { return len(d) }
func (d dueOrder) Less(i, j int) bool {
	return cmp.Or(d[i].due.Compare(d[j].due), compareItems(d[i], d[j])) < 0
}
func (d dueOrder) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}
func (d *dueOrder) Push(x any) {
	i := x.(*item)
	i.index = len(*d)
	*d = append(*d, i)
}
func (d *dueOrder) Pop() any {
	last := len(*d) - 1
	i := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	i.index = -1
	return i
}

// compareItems orders proposals by their times.
func compareItems(a, b *item) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) }

// observe brings the queue up to what was committed in a part.
func (s *Scheduler) observe(part int, events []sharedata.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if !s.observeOneLocked(part, &e) {
			s.loadLocked(part, e.State)
		}
		if e.Type == sharedata.EntryRemoved {
			s.lost = append(s.lost, part)
		}
	}
	s.notify()
}

// observeOneLocked returns false for an event that tells less than its state.
func (s *Scheduler) observeOneLocked(part int, e *sharedata.Event) bool {
	switch {
	case e.Reset || e.Type != sharedata.EntryTransaction:
		return false
	case !e.Accepted:
		return true
	}
	switch e.FunctionID {
	case scheduleFunction.ID():
		return withInput(e, func(input scheduleInput) {
			s.queue.remove(input.Replaces)
			for _, p := range input.Proposals {
				s.queue.add(p.ID, part, p.At, p.At)
			}
		})
	case cancelFunction.ID():
		return withInput(e, func(input cancelInput) { s.queue.remove(input.ID) })
	case beginFunction.ID():
		return withInput(e, func(input beginInput) {
			for _, p := range input.Proposals {
				if i := s.queue.items[p.ID]; i != nil {
					s.beganLocked(i, &input.begun)
				}
			}
		})
	case finishFunction.ID():
		return withInput(e, func(input finishInput) {
			for _, o := range input.Outcomes {
				s.queue.remove(o.ID)
			}
		})
	}
	return false
}

// withInput calls a function with the input of an entry. It returns false where that is not
// what it should be.
func withInput[T any](e *sharedata.Event, use func(T)) bool {
	var input T
	if json.Unmarshal(e.Data, &input) != nil {
		return false
	}
	use(input)
	return true
}

// beganLocked notes which process makes a proposal: another one is given time from now,
// by this clock.
func (s *Scheduler) beganLocked(i *item, by *begun) {
	if i.begun = by; by.By != s.process {
		s.queue.delay(i, s.now().Add(s.options.TakeoverAfter))
	}
}

// loadLocked makes the queue have exactly what is in the state of a part.
func (s *Scheduler) loadLocked(part int, state json.RawMessage) {
	there := make(map[string]bool)
	err := eachMember(state, func(id string, text json.RawMessage) error {
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			return err
		}
		there[id] = true
		s.queue.add(id, part, r.At, r.At)
		if i := s.queue.items[id]; r.Begun != nil && s.manager.SharedStore() {
			s.beganLocked(i, r.Begun)
		} else {
			i.begun = r.Begun // by a process that has ended, since this one has the store
		}
		return nil
	})
	if err != nil {
		s.options.Logger.Error("a part of the schedule is damaged", "shareData", s.partID(part), "error", err)
	}
	if s.queue.inPart[part] == len(there) {
		return // all that there are, as always at the beginning
	}
	for id, i := range s.queue.items {
		if i.part == part && !there[id] {
			s.queue.remove(id)
		}
	}
}

// notify has Run look at the queue.
func (s *Scheduler) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

package replaytest

import (
	"fmt"

	"github.com/safe-go/safe/replay"
)

func idsAreComplete(f *fixture) {
	s := f.open()
	s.sameIDs(nil)
	var want []string
	for i := range 150 {
		id := fmt.Sprint("id ", i)
		s.started(id)
		want = append(want, id)
	}
	s.sameIDs(want)
	for i := range 50 {
		s.append(want[i], removing(follow(replay.Cursor{Epoch: firstEpoch, Revision: 1}, contents("the end")...)))
	}
	s.sameIDs(want[50:])
	for i := range 10 {
		s.append(want[i], start(firstEpoch+1, contents("again")...))
	}
	s.sameIDs(append(want[50:], want[:10]...))

	count := 0
	for _, err := range s.store.IDs(s.ctx) {
		if err != nil {
			s.Fatalf("IDs: %v", err)
		}
		if count++; count == 3 {
			break
		}
	}
	if count != 3 {
		s.Errorf("IDs yielded %d ids to a loop that ends after 3", count)
	}
}

func usableDuringIDs(f *fixture) {
	s := f.open()
	wants := make(map[string]*history)
	for i := range 20 {
		id := fmt.Sprint("id ", i)
		wants[id] = s.started(id)
	}
	for id, err := range s.store.IDs(s.ctx) {
		if err != nil {
			s.Fatalf("IDs: %v", err)
		}
		want := wants[id]
		if want == nil {
			s.Fatalf("IDs yields %.40q twice, or where it never was", id)
		}
		s.holds(id, want)
		s.commit(id, want, want.next(contents("more")...))
		s.holds(id, want)
		s.append(id, removing(want.next(contents("the end")...)))
		delete(wants, id)
	}
	if len(wants) > 0 {
		s.Errorf("IDs left out %d of 20 ids that were there all along", len(wants))
	}
	s.sameIDs(nil)
}

package replaytest

import (
	"errors"
	"time"

	"github.com/safe-go/safe/replay"
)

// These are the checks of Batch.Reserve, for stores that processes share.

// openShared returns two handles on a store that processes share, or skips the
// test.
func (f *fixture) openShared() (s, other *subject) {
	f.Helper()
	s = f.open()
	s.follower()
	if f.harness.Second == nil {
		f.Skipf("the harness has no Second")
	}
	return s, f.second(s)
}

// behind appends a batch that the history has left behind, and claims the next
// turn by it.
func (s *subject) behind(id string, want *history, claim time.Duration) {
	s.Helper()
	batch := follow(want.zero().Next(), contents("too late")...)
	batch.Reserve = claim
	s.conflictAt(id, want, batch)
}

// mustWait appends a batch that must be refused for another process's claim.
func (s *subject) mustWait(id string, want *history, batch replay.Batch) {
	s.Helper()
	conflict := s.conflict(id, batch)
	if conflict.ReservedFor <= 0 || conflict.ReservedFor > time.Second || conflict.Head != want.head() || conflict.Reason == replay.ConflictRemoved || conflict.Reason == replay.ConflictReplaced || conflict.Known != nil {
		s.Errorf("out of turn: ConflictError %+v, want one with Claimed of at most a second at %s", conflict, want.head())
	}
	s.holds(id, want)
}

func claimKeepsOthersOut(f *fixture) {
	s, other := f.openShared()
	want := s.started("id", many("entry ", 3)...)
	another := s.started("another id", many("entry ", 3)...)
	s.behind("id", want, time.Second)
	other.mustWait("id", want, want.next(contents("out of turn")...))
	other.behind("id", want, time.Second) // one claim at a time
	other.mustWait("id", want, want.next(contents("out of turn")...))
	over := s.started("a history that starts over", many("entry ", 3)...)
	s.behind("a history that starts over", over, time.Second)
	startsOver := start(firstEpoch+1, contents("over")...)
	startsOver.Expect = over.head()
	other.append("a history that starts over", startsOver)
	other.commit("another id", another, another.next(contents("of another history")...))
	s.commit("id", want, want.next(contents("in turn")...))
	other.commit("id", want, want.next(contents("the turn is over")...))
	s.commit("id", want, want.next(contents("and so on")...))
}

func claimEndsWithTheNextAppend(f *fixture) {
	s, other := f.openShared()
	want := s.started("id", many("entry ", 3)...)
	s.behind("id", want, time.Second)
	s.behind("id", want, 0) // no turn is wanted any more
	other.commit("id", want, want.next(contents("free again")...))
	s.behind("id", want, time.Second)
	s.commit("id", want, removing(want.next(contents("the end")...)))
	again := &history{}
	other.commit("id", again, start(firstEpoch+1, many("again ", 3)...))
	other.commit("id", again, again.next(contents("nobody's turn")...))
}

// A process that has claimed and does not come again holds nobody up for long.
func claimEndsByItself(f *fixture) {
	s, other := f.openShared()
	want := s.started("id", many("entry ", 3)...)
	s.behind("id", want, time.Hour)
	batch := want.next(contents("after a while")...)
	for deadline := time.Now().Add(f.patience()); ; {
		err := other.store.Append(f.ctx, "id", batch)
		if err == nil {
			want.add(batch)
			break
		}
		conflict, ok := errors.AsType[*replay.ConflictError](err)
		if !ok || conflict.ReservedFor <= 0 || time.Now().After(deadline) {
			f.Fatalf("Append while a claim goes on: %v", err)
		}
		<-time.After(conflict.ReservedFor / 4)
	}
	s.holds("id", want)
}

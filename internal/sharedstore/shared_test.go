package sharedstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/replaytest"
)

func TestSharedConformance(t *testing.T) {
	replaytest.Run(t, replaytest.Harness{
		Open:   func(testing.TB) replay.Store { return NewShared().Process() },
		Second: func(_ testing.TB, store replay.Store) replay.Store { return store.(*Process).shared.Process() },
	})
}

// told is what a follow was told, as text: the revisions of each batch.
type told struct {
	t     *testing.T
	calls []string
	stop  func()
}

// follows follows an id. It must be called in a synctest bubble.
func follows(t *testing.T, p *Process, id string) *told {
	l := &told{t: t}
	l.stop = p.Follow(id, func(entries []replay.Entry) {
		var revisions []string
		for _, entry := range entries {
			revisions = append(revisions, fmt.Sprint(entry.Cursor.Epoch, "-", entry.Cursor.Revision))
		}
		if entries == nil {
			revisions = []string{"nil"}
		}
		l.calls = append(l.calls, strings.Join(revisions, "+"))
	})
	return l
}

// was checks what was told since it was last called.
func (l *told) was(want ...string) {
	l.t.Helper()
	synctest.Wait()
	if !slices.Equal(l.calls, want) {
		l.t.Errorf("told %q; want %q", l.calls, want)
	}
	l.calls = nil
}

// inBubble runs a test with two processes, which it closes.
func inBubble(t *testing.T, test func(t *testing.T, s *Shared, a, b *Process)) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShared()
		a, b := s.Process(), s.Process()
		test(t, s, a, b)
		for _, p := range []*Process{a, b, a} {
			if err := p.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

func must(t *testing.T, p *Process, id string, batch replay.Batch) replay.Cursor {
	t.Helper()
	if err := p.Append(t.Context(), id, batch); err != nil {
		t.Fatalf("Append at %s: %v", batch.Expect, err)
	}
	return batch.Last()
}

// callsOf returns what one call of each method returned, by its name.
func callsOf(t *testing.T, p *Process) map[string]error {
	errs := make(map[string]error)
	_, errs["Load"] = p.Load(t.Context(), "id")
	_, errs["Read"] = p.Read(t.Context(), "id", replay.Cursor{Epoch: 5}, 1)
	_, errs["Find"] = p.Find(t.Context(), "id", []string{"key"})
	errs["Append"] = p.Append(t.Context(), "id", start(5, contents("lost")...))
	for _, err := range p.IDs(t.Context()) {
		errs["IDs"] = err
	}
	return errs
}

// start numbers entries with these data as the first batch of an epoch.
func start(epoch uint64, entries ...replay.Entry) replay.Batch {
	batch := follow(replay.Cursor{Epoch: epoch}, entries...)
	batch.Expect = replay.Cursor{}
	return batch
}

// follow numbers the entries as a batch after a head.
func follow(expect replay.Cursor, entries ...replay.Entry) replay.Batch {
	batch := replay.Batch{Expect: expect}
	for _, entry := range entries {
		expect = expect.Next()
		entry.Cursor = expect
		batch.Entries = append(batch.Entries, entry)
	}
	return batch
}

func removing(batch replay.Batch) replay.Batch {
	batch.Remove = true
	return batch
}

func contents(data ...string) []replay.Entry {
	entries := make([]replay.Entry, len(data))
	for i := range data {
		entries[i].Data = []byte(data[i])
	}
	return entries
}

func TestAProcessIsToldWhatAnyProcessAppends(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Shared, a, b *Process) {
		other, here, there := follows(t, b, "other"), follows(t, a, "id"), follows(t, b, "id")
		for _, each := range []*told{here, there, other} {
			each.was("nil")
		}
		head := must(t, a, "id", start(5, contents("x", "y")...))
		head = must(t, b, "id", follow(head, contents("z")...))
		here.was("5-1+5-2", "5-3")
		there.was("5-1+5-2", "5-3")
		must(t, b, "id", removing(follow(head, contents("the end")...)))
		there.was("5-4")
		if err := a.Append(t.Context(), "id", start(5, contents("x")...)); !errors.Is(err, replay.ErrConflict) {
			t.Errorf("Append in an old epoch: %v", err)
		}
		there.was()
		other.was()
		if got := b.Following(); !slices.Equal(got, []string{"id", "other"}) {
			t.Errorf("following %q", got)
		}
		there.stop()
		there.stop()
		must(t, b, "id", start(6, contents("x")...))
		there.was()
		here.was("5-4", "6-1")
		if got := b.Following(); !slices.Equal(got, []string{"other"}) {
			t.Errorf("following %q", got)
		}
		if got, want := b.Calls(), map[string]int{"Append": 3, "Follow": 2}; !maps.Equal(got, want) {
			t.Errorf("calls %v; want %v", got, want)
		}
	})
}

func TestAnUnreachableMediumRefusesAndTellsNothingUntilItIsBack(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Shared, a, b *Process) {
		there := follows(t, b, "id")
		there.was("nil")
		b.SetReachable(true)
		there.was()
		b.SetReachable(false)
		later := follows(t, b, "id")
		for call, err := range callsOf(t, b) {
			if !errors.Is(err, replay.ErrUnavailable) {
				t.Errorf("%s: error %v; want ErrUnavailable", call, err)
			}
		}
		must(t, a, "id", start(5, contents("x")...))
		b.Check()
		there.was()
		later.was()
		b.SetReachable(true)
		there.was("nil")
		later.was("nil")
		must(t, a, "id", follow(replay.Cursor{Epoch: 5, Revision: 1}, contents("y")...))
		there.was("5-2")
	})
}

func TestACheckFindsWhatLostAnnouncementsLeftOut(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Shared, a, b *Process) {
		there, other := follows(t, b, "id"), follows(t, b, "other")
		there.was("nil")
		other.was("nil")
		b.Check()
		there.was()
		b.LoseAnnouncements(true)
		head := must(t, a, "id", start(5, contents("x")...))
		there.was()
		b.Check()
		there.was("nil")
		b.Check()
		there.was()
		head = must(t, a, "id", follow(head, contents("y")...))
		b.LoseAnnouncements(false)
		there.was()
		must(t, a, "id", follow(head, contents("z")...))
		there.was("5-3")
		b.Check()
		there.was()

		b.LoseAnnouncements(true)
		must(t, a, "id", removing(follow(head.Next(), contents("the end")...)))
		b.LoseAnnouncements(false)
		b.Check()
		there.was("nil")
		b.Check()
		there.was()
		other.was()
	})
}

func TestALostReplyIsOfABatchThatTookEffect(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Shared, a, b *Process) {
		there := follows(t, b, "id")
		a.LoseReplies(2)
		if err := a.Append(t.Context(), "id", start(5, contents("x")...)); !errors.Is(err, replay.ErrUnavailable) {
			t.Errorf("the first append: error %v; want ErrUnavailable", err)
		}
		if err := a.Append(t.Context(), "id", start(5, contents("x")...)); !errors.Is(err, replay.ErrConflict) {
			t.Errorf("a batch that is refused: error %v; want ErrConflict", err)
		}
		head := replay.Cursor{Epoch: 5, Revision: 1}
		if err := a.Append(t.Context(), "id", follow(head, contents("y")...)); !errors.Is(err, replay.ErrUnavailable) {
			t.Errorf("the second append: error %v; want ErrUnavailable", err)
		}
		must(t, a, "id", follow(head.Next(), contents("z")...))
		there.was("nil", "5-1", "5-2", "5-3")
	})
}

func TestAHistoryGoesBackWithoutAWord(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Shared, a, b *Process) {
		there, other := follows(t, b, "id"), follows(t, b, "other")
		must(t, a, "other", start(9, contents("x")...))
		head := must(t, a, "id", start(5, contents("1", "2")...))
		head = must(t, a, "id", follow(head, contents("3", "4")...))
		must(t, a, "id", removing(follow(head, contents("5")...)))
		must(t, a, "id", start(6, contents("1")...))
		there.was("nil", "5-1+5-2", "5-3+5-4", "5-5", "6-1")
		other.was("nil", "9-1")

		back := func(to, want replay.Cursor) {
			t.Helper()
			s.Rollback("id", to)
			got, err := b.Load(t.Context(), "id")
			if got.Cursor != want || want.IsZero() != errors.Is(err, replay.ErrNotFound) {
				t.Errorf("after going back to %s: at %s, error %v; want %s", to, got.Cursor, err, want)
			}
			there.was()
			b.Check()
			there.was("nil")
		}
		back(replay.Cursor{Epoch: 5, Revision: 5}, replay.Cursor{})
		back(replay.Cursor{Epoch: 5, Revision: 4}, replay.Cursor{Epoch: 5, Revision: 4})
		back(replay.Cursor{Epoch: 5, Revision: 3}, replay.Cursor{Epoch: 5, Revision: 2})
		must(t, a, "id", follow(replay.Cursor{Epoch: 5, Revision: 2}, contents("3")...))
		there.was("5-3")
		back(replay.Cursor{}, replay.Cursor{})

		must(t, a, "id", start(5, contents("1")...)) // nobody knows of an epoch 6
		there.was("5-1")
		if head, err := b.Load(t.Context(), "other"); err != nil || head.Cursor.Epoch != 9 {
			t.Errorf("the other history: at %s, error %v", head.Cursor, err)
		}
		s.Flush()
		there.was()
		other.was()
		for id, err := range a.IDs(t.Context()) {
			t.Errorf("IDs after a flush: %q, error %v", id, err)
		}
		b.Check()
		there.was("nil")
		other.was("nil")
	})
}

// A history that went back and on again is at the same position, and still not
// the one that was told of.
func TestACheckSeesThatAnotherHistoryTookThePlace(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Shared, a, b *Process) {
		there := follows(t, b, "id")
		first := must(t, a, "id", start(5, contents("1")...))
		batch := follow(first, contents("2")...)
		batch.Meta = []byte("one")
		must(t, a, "id", batch)
		there.was("nil", "5-1", "5-2")
		s.Rollback("id", first)
		b.LoseAnnouncements(true)
		batch.Meta = []byte("another")
		must(t, a, "id", batch)
		b.Check()
		there.was("nil")
	})
}

func TestStopAndFollowMayBeCalledByTell(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Shared, a, b *Process) {
		var again *told
		var stop func()
		calls := 0
		begun := make(chan struct{})
		stop = b.Follow("id", func([]replay.Entry) {
			<-begun
			calls++
			stop()
			again = follows(t, b, "id")
		})
		head := must(t, a, "id", start(5, contents("1")...)) // it waits to be told
		close(begun)
		synctest.Wait()
		must(t, a, "id", follow(head, contents("2")...))
		again.was("nil", "5-2")
		if calls != 1 {
			t.Errorf("told %d times; want once, until stop was called", calls)
		}
	})
}

func TestCloseWaitsForTellAndEndsTheTelling(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Shared, a, b *Process) {
		release, calls := make(chan struct{}), 0
		b.Follow("id", func([]replay.Entry) {
			calls++
			<-release
		})
		head := must(t, a, "id", start(5, contents("1")...))
		must(t, a, "id", follow(head, contents("2")...))
		synctest.Wait()
		closed := false
		go func() {
			b.Close()
			closed = true
		}()
		synctest.Wait()
		if closed || calls != 1 {
			t.Errorf("closed %t after %d calls of tell; want it to wait for the first", closed, calls)
		}
		close(release)
		synctest.Wait()
		if got := b.Following(); !closed || calls != 1 || len(got) > 0 {
			t.Errorf("closed %t, %d calls of tell, following %q; want it to end with the first", closed, calls, got)
		}
		late := follows(t, b, "id")
		b.SetReachable(false)
		b.SetReachable(true)
		b.Check()
		must(t, a, "id", follow(head.Next(), contents("3")...))
		late.was()
		late.stop()
	})
}

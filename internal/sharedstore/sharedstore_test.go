package sharedstore

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/replaytest"
)

func TestConformance(t *testing.T) {
	replaytest.Run(t, replaytest.Harness{
		Open:   func(testing.TB) replay.Store { return New().Process() },
		Second: func(_ testing.TB, store replay.Store) replay.Store { return store.(*Process).medium.Process() },
		Lose: func(_ testing.TB, store replay.Store, id string) {
			store.(*Process).medium.Rollback(id, replay.Cursor{})
		},
	})
}

// watch notes what a follow is notified of, as text: the positions of each batch.
type watch struct {
	t     *testing.T
	calls []string
	stop  func()
}

// watching follows an id. It must be called in a synctest bubble.
func watching(t *testing.T, p *Process, id string) *watch {
	w := &watch{t: t}
	w.stop = p.Follow(id, func(entries []replay.Entry) {
		positions := []string{"nil"}
		if entries != nil {
			positions = nil
		}
		for _, entry := range entries {
			positions = append(positions, entry.Cursor.String())
		}
		w.calls = append(w.calls, strings.Join(positions, "+"))
	})
	return w
}

// wants checks what was notified since it was last called.
func (w *watch) wants(want ...string) {
	w.t.Helper()
	synctest.Wait()
	if !slices.Equal(w.calls, want) {
		w.t.Errorf("notified %q; want %q", w.calls, want)
	}
	w.calls = nil
}

// inBubble runs a test with two processes, which it closes.
func inBubble(t *testing.T, test func(t *testing.T, m *Medium, a, b *Process)) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		a, b := m.Process(), m.Process()
		test(t, m, a, b)
		for _, p := range []*Process{a, b, a} {
			if err := p.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

// must appends a batch and returns its last position.
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
	_, errs["Load"] = p.Load(t.Context(), "id", replay.Cursor{})
	_, errs["Read"] = p.Read(t.Context(), "id", replay.Cursor{Epoch: 5}, 1)
	_, errs["Find"] = p.Find(t.Context(), "id", []string{"key"})
	errs["Append"] = p.Append(t.Context(), "id", start(5, "lost"))
	for _, err := range p.IDs(t.Context()) {
		errs["IDs"] = err
	}
	return errs
}

// start is the first batch of an epoch, of entries with these data.
func start(epoch uint64, data ...string) replay.Batch {
	batch := next(replay.Cursor{Epoch: epoch}, data...)
	batch.Expect, batch.Snapshot = replay.Cursor{}, []byte("state")
	return batch
}

// next is a batch after a head, of entries with these data.
func next(head replay.Cursor, data ...string) replay.Batch {
	batch := replay.Batch{Expect: head}
	for i, text := range data {
		cursor := replay.Cursor{Epoch: head.Epoch, Revision: head.Revision + uint64(i) + 1}
		batch.Entries = append(batch.Entries, replay.Entry{Cursor: cursor, Data: []byte(text)})
	}
	return batch
}

func removing(batch replay.Batch) replay.Batch {
	batch.Remove = true
	return batch
}

func TestFollow_EveryAppend(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		other, here, there := watching(t, b, "other"), watching(t, a, "id"), watching(t, b, "id")
		for _, each := range []*watch{here, there, other} {
			each.wants("nil")
		}
		head := must(t, a, "id", start(5, "x", "y"))
		head = must(t, b, "id", next(head, "z"))
		here.wants("5-1+5-2", "5-3")
		there.wants("5-1+5-2", "5-3")
		must(t, b, "id", removing(next(head, "the end")))
		there.wants("5-4")
		if err := a.Append(t.Context(), "id", start(5, "x")); !errors.Is(err, replay.ErrConflict) {
			t.Errorf("Append in an old epoch: %v", err)
		}
		there.wants()
		other.wants()
		if got := b.Following(); !slices.Equal(got, []string{"id", "other"}) {
			t.Errorf("following %q", got)
		}
		there.stop()
		there.stop()
		must(t, b, "id", start(6, "x"))
		there.wants()
		here.wants("5-4", "6-1")
		if got := b.Following(); !slices.Equal(got, []string{"other"}) {
			t.Errorf("following %q", got)
		}
		if got, want := b.Calls(), map[string]int{"Append": 3, "Follow": 2}; !maps.Equal(got, want) {
			t.Errorf("calls %v; want %v", got, want)
		}
	})
}

func TestSetReachable(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		there := watching(t, b, "id")
		there.wants("nil")
		b.SetReachable(true)
		there.wants()
		b.SetReachable(false)
		later := watching(t, b, "id")
		for call, err := range callsOf(t, b) {
			if !errors.Is(err, replay.ErrUnavailable) {
				t.Errorf("%s: error %v; want ErrUnavailable", call, err)
			}
		}
		must(t, a, "id", start(5, "x"))
		b.Check()
		there.wants()
		later.wants()
		b.SetReachable(true)
		there.wants("nil")
		later.wants("nil")
		must(t, a, "id", next(replay.Cursor{Epoch: 5, Revision: 1}, "y"))
		there.wants("5-2")
	})
}

func TestCheck_AfterLostAnnouncements(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		there, other := watching(t, b, "id"), watching(t, b, "other")
		there.wants("nil")
		other.wants("nil")
		b.Check()
		there.wants()
		b.LoseAnnouncements(true)
		head := must(t, a, "id", start(5, "x"))
		there.wants()
		b.Check()
		there.wants("nil")
		b.Check()
		there.wants()
		head = must(t, a, "id", next(head, "y"))
		b.LoseAnnouncements(false)
		there.wants()
		must(t, a, "id", next(head, "z"))
		there.wants("5-3")
		b.Check()
		there.wants()

		b.LoseAnnouncements(true)
		must(t, a, "id", removing(next(head.Next(), "the end")))
		b.LoseAnnouncements(false)
		b.Check()
		there.wants("nil")
		b.Check()
		there.wants()
		other.wants()
	})
}

func TestLoseReplies(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		there := watching(t, b, "id")
		a.LoseReplies(2)
		if err := a.Append(t.Context(), "id", start(5, "x")); !errors.Is(err, replay.ErrUnavailable) {
			t.Errorf("the first append: error %v; want ErrUnavailable", err)
		}
		if err := a.Append(t.Context(), "id", start(5, "x")); !errors.Is(err, replay.ErrConflict) {
			t.Errorf("a batch that is refused: error %v; want ErrConflict", err)
		}
		head := replay.Cursor{Epoch: 5, Revision: 1}
		if err := a.Append(t.Context(), "id", next(head, "y")); !errors.Is(err, replay.ErrUnavailable) {
			t.Errorf("the second append: error %v; want ErrUnavailable", err)
		}
		must(t, a, "id", next(head.Next(), "z"))
		there.wants("nil", "5-1", "5-2", "5-3")
	})
}

func TestRollback_NotifiesNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		there, other := watching(t, b, "id"), watching(t, b, "other")
		must(t, a, "other", start(9, "x"))
		head := must(t, a, "id", start(5, "1", "2"))
		head = must(t, a, "id", next(head, "3", "4"))
		must(t, a, "id", removing(next(head, "5")))
		must(t, a, "id", start(6, "1"))
		there.wants("nil", "5-1+5-2", "5-3+5-4", "5-5", "6-1")
		other.wants("nil", "9-1")

		back := func(to, want replay.Cursor) {
			t.Helper()
			m.Rollback("id", to)
			got, err := b.Load(t.Context(), "id", replay.Cursor{})
			if got.Cursor != want || want.IsZero() != errors.Is(err, replay.ErrNotFound) {
				t.Errorf("after going back to %s: at %s, error %v; want %s", to, got.Cursor, err, want)
			}
			there.wants()
			b.Check()
			there.wants("nil")
		}
		back(replay.Cursor{Epoch: 5, Revision: 5}, replay.Cursor{})
		back(replay.Cursor{Epoch: 5, Revision: 4}, replay.Cursor{Epoch: 5, Revision: 4})
		back(replay.Cursor{Epoch: 5, Revision: 3}, replay.Cursor{Epoch: 5, Revision: 2})
		must(t, a, "id", next(replay.Cursor{Epoch: 5, Revision: 2}, "3"))
		there.wants("5-3")
		back(replay.Cursor{}, replay.Cursor{})

		must(t, a, "id", start(5, "1")) // epoch 6 is forgotten
		there.wants("5-1")
		if head, err := b.Load(t.Context(), "other", replay.Cursor{}); err != nil || head.Cursor.Epoch != 9 {
			t.Errorf("the other history: at %s, error %v", head.Cursor, err)
		}
		m.Flush()
		there.wants()
		other.wants()
		for id, err := range a.IDs(t.Context()) {
			t.Errorf("IDs after a flush: %q, error %v", id, err)
		}
		b.Check()
		there.wants("nil")
		other.wants("nil")
	})
}

// A history that was rolled back and continued is at the same position, but it
// is not the one that was notified.
func TestCheck_HistoryReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		there := watching(t, b, "id")
		first := must(t, a, "id", start(5, "1"))
		batch := next(first, "2")
		batch.Meta = []byte("one")
		must(t, a, "id", batch)
		there.wants("nil", "5-1", "5-2")
		m.Rollback("id", first)
		b.LoseAnnouncements(true)
		batch.Meta = []byte("another")
		must(t, a, "id", batch)
		b.Check()
		there.wants("nil")
	})
}

func TestNotify_CallsStopAndFollow(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		var again *watch
		var stop func()
		calls := 0
		begun := make(chan struct{})
		stop = b.Follow("id", func([]replay.Entry) {
			<-begun
			calls++
			stop()
			again = watching(t, b, "id")
		})
		head := must(t, a, "id", start(5, "1")) // its notification waits in the queue
		close(begun)
		synctest.Wait()
		must(t, a, "id", next(head, "2"))
		again.wants("nil", "5-2")
		if calls != 1 {
			t.Errorf("notified %d times; want once, until stop was called", calls)
		}
	})
}

func TestClose_WaitsForNotify(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		release, calls := make(chan struct{}), 0
		b.Follow("id", func([]replay.Entry) {
			calls++
			<-release
		})
		head := must(t, a, "id", start(5, "1"))
		must(t, a, "id", next(head, "2"))
		synctest.Wait()
		closed := false
		go func() {
			b.Close()
			closed = true
		}()
		synctest.Wait()
		if closed || calls != 1 {
			t.Errorf("closed %t after %d calls of notify; want it to wait for the first", closed, calls)
		}
		close(release)
		synctest.Wait()
		if got := b.Following(); !closed || calls != 1 || len(got) > 0 {
			t.Errorf("closed %t, %d calls of notify, following %q; want it to end with the first", closed, calls, got)
		}
		late := watching(t, b, "id")
		b.SetReachable(false)
		b.SetReachable(true)
		b.Check()
		must(t, a, "id", next(head.Next(), "3"))
		late.wants()
		late.stop()
	})
}

func TestLoad_LostWhileFollowed(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		loads := func(p *Process, id string, want error) {
			t.Helper()
			if _, err := p.Load(t.Context(), id, replay.Cursor{}); !errors.Is(err, want) {
				t.Errorf("Load of %q: %v; want %v", id, err, want)
			}
		}
		head := must(t, a, "id", start(5, "1"))
		must(t, a, "other", start(5, "1"))
		must(t, a, "removed", removing(start(5, "1")))
		there, gone := watching(t, b, "id"), watching(t, b, "removed")
		there.wants("nil")
		gone.wants("nil")
		m.Flush()
		loads(a, "id", replay.ErrUnavailable)
		there.wants("nil")
		loads(a, "id", replay.ErrUnavailable)
		there.wants("nil")
		loads(b, "id", replay.ErrNotFound)      // it follows the history itself
		loads(a, "other", replay.ErrNotFound)   // nobody follows it
		loads(a, "removed", replay.ErrNotFound) // it was removed, not lost
		loads(a, "never", replay.ErrNotFound)
		gone.wants()
		b.SetReachable(false)
		loads(a, "id", replay.ErrNotFound) // nobody can restart it
		b.SetReachable(true)
		must(t, b, "id", start(6, "1"))
		loads(a, "id", nil)
		there.wants("nil", "6-1")

		m.Rollback("id", head)
		loads(a, "id", replay.ErrUnavailable)
		there.stop()
		loads(a, "id", replay.ErrNotFound)
	})
}

func TestMarkRolledBack(t *testing.T) {
	inBubble(t, func(t *testing.T, m *Medium, a, b *Process) {
		there := watching(t, b, "id")
		head := must(t, a, "id", start(5, "1"))
		there.wants("nil", "5-1")
		m.MarkRolledBack("id")
		b.Check()
		there.wants("nil")
		marked := func(want bool) {
			t.Helper()
			if got, err := b.Load(t.Context(), "id", replay.Cursor{}); err != nil || (got.RestartAfter != 0) != want {
				t.Errorf("Load: restart after %d, error %v; want one %t", got.RestartAfter, err, want)
			}
		}
		marked(true)
		over := start(6, "over")
		for _, test := range []struct {
			batch replay.Batch
			want  replay.ConflictReason
		}{
			{next(head, "2"), replay.ConflictReplaced},
			{removing(next(head, "2")), replay.ConflictReplaced},
			{next(head.Next(), "3"), replay.ConflictMoved},
			{over, replay.ConflictMoved},
		} {
			err := a.Append(t.Context(), "id", test.batch)
			if conflict, ok := errors.AsType[*replay.ConflictError](err); !ok || conflict.Reason != test.want || conflict.Head != head {
				t.Errorf("Append at %s: %v; want reason %v", test.batch.Expect, err, test.want)
			}
		}
		if err := a.Append(t.Context(), "id", replay.Batch{Expect: head}); !errors.Is(err, replay.ErrInvalidBatch) {
			t.Errorf("Append of nothing: %v; want ErrInvalidBatch", err)
		}
		marked(true)
		over.Expect = head
		must(t, a, "id", next(must(t, a, "id", over), "2"))
		marked(false)
		there.wants("6-1", "6-2")
	})
}

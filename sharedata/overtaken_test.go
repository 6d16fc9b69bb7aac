package sharedata_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// The tests here have another process change a history between two calls that a
// manager makes of the store.

// A history may end, and another one begin, between the look at its head and the
// reading of what leads there.
func TestAHistoryThatEndsWhileItIsFollowed(t *testing.T) {
	for _, created := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			shared := sharedstore.New()
			a := newNode(t, shared.Process(), nil)
			ensureCounter(t, a)
			process := shared.Process()
			s := newProxy(process)
			b := newNode(t, process, &sharedata.Options{Store: s})
			var all recorder
			ensureCounter(t, b)
			b.ObserveAll(&all)
			a.add(t, 1)
			s.read = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				s.read = nil
				if created {
					recreate(t, a, 50)
				} else if err := a.Remove(ctx, "counter"); err != nil {
					t.Error(err)
				}
				return process.Read(ctx, id, after, limit)
			}
			got, err := b.Refresh(t.Context(), "counter")
			switch {
			case created && (err != nil || got.Cursor != a.get(t).Cursor):
				t.Errorf("%+v, %v", got, err)
			case !created && !errors.Is(err, sharedata.ErrUnknownShareData):
				t.Errorf("%+v, %v", got, err)
			}
			reset(t, "the observer", all.all())
		})
	}
}

// Another process may be the one that starts a history over.
func TestAHistoryThatIsStartedOverByAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		a := newNode(t, shared.Process(), nil)
		kept := ensureCounter(t, a)
		process := shared.Process()
		s := newProxy(process)
		b := newNode(t, process, &sharedata.Options{Store: s})
		ensureCounter(t, b)
		a.add(t, 1)
		b.refresh(t)
		shared.Rollback("counter", kept.Cursor)
		s.append = func(ctx context.Context, id string, batch replay.Batch) error {
			s.append = nil
			a.refresh(t)
			return process.Append(ctx, id, batch)
		}
		if got, there := b.refresh(t), a.get(t); got.Cursor != there.Cursor || got.Cursor.Epoch <= kept.Cursor.Epoch {
			t.Errorf("it stands at %s, there at %s", got.Cursor, there.Cursor)
		}
		wantHistory(t, b.Manager, "counter", "1 created")
	})
}

// claimTurn has a process claim the next turn at "counter", and not come.
func claimTurn(t *testing.T, process *sharedstore.Process, at replay.Cursor) {
	t.Helper()
	at.Revision += 1000
	err := process.Append(t.Context(), "counter", replay.Batch{
		Expect: at, Entries: []replay.Entry{{Cursor: at.Next(), Data: []byte("none")}}, Reserve: time.Second,
	})
	if !errors.Is(err, replay.ErrConflict) {
		t.Fatal(err)
	}
}

// Whose turn it is may never come. That costs the others the time of a claim, and
// the store no looks.
func TestATurnThatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, _, b := twoNodes(t)
		claimTurn(t, shared.Process(), b.get(t).Cursor)
		begin := time.Now()
		looks := b.calls("Load", func() { b.add(t, 1) })
		if took := time.Since(begin); took < 900*time.Millisecond || took > 1100*time.Millisecond || looks != 0 {
			t.Errorf("it took %v and %d looks", took, looks)
		}
	})
}

// A proposal may have been made to what another process has created, before its
// manager has heard of that.
func TestAProposalThatIsAheadOfItsManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		g := newGate()
		fails := sharedata.NewFunction("fails", func(context.Context, Counter, any) (Counter, error) {
			g.pass()
			return Counter{}, errBroken
		})
		options := &sharedata.Options{Kinds: []sharedata.Kind{sharedata.NewKind("one", fails), sharedata.NewKind("two", add)}}
		a, b := newNode(t, shared.Process(), options), newNode(t, shared.Process(), options)
		if _, err := a.CreateKind(t.Context(), "counter", "one", Counter{}); err != nil {
			t.Fatal(err)
		}
		b.get(t)
		var got answers
		b.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "fails"}, got.done("fails"))
		<-g.arrived
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.CreateKind(t.Context(), "counter", "two", Counter{5}); err != nil {
			t.Fatal(err)
		}
		b.Submit(t.Context(), addition("counter", 1, ""), got.done("add"))
		close(g.open)
		synctest.Wait()
		if all := got.all(); len(all) != 2 || !errors.Is(all[0].err, errBroken) || !all[1].verdict.Accepted {
			t.Errorf("%+v", all)
		}
		wantState(t, b.Manager, "counter", `{"value":6}`)
	})
}

// The schema of another kind's function is another one.
func TestAProposalThatFitsTheKindThatThereIsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		strict := add.WithInputSchema(`{"properties":{"by":{"maximum":5}}}`)
		options := &sharedata.Options{Kinds: []sharedata.Kind{sharedata.NewKind("strict", strict), sharedata.NewKind("lenient", add)}}
		a, b := newNode(t, shared.Process(), options), newNode(t, shared.Process(), options)
		if _, err := a.CreateKind(t.Context(), "counter", "strict", Counter{}); err != nil {
			t.Fatal(err)
		}
		b.get(t)
		if _, err := b.Propose(t.Context(), addition("counter", 100, "")); !errors.Is(err, sharedata.ErrInvalidInput) {
			t.Errorf("got %v", err)
		}
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.CreateKind(t.Context(), "counter", "lenient", Counter{}); err != nil {
			t.Fatal(err)
		}
		b.add(t, 100)
	})
}

// A start over does not wait for anybody's turn for long.
func TestAHistoryIsStartedOverThoughItIsAnothersTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, a, b := twoNodes(t)
		kept := a.get(t)
		a.add(t, 1)
		b.refresh(t)
		shared.Rollback("counter", kept.Cursor)
		claimTurn(t, shared.Process(), kept.Cursor)
		begin := time.Now()
		if got := b.refresh(t); got.Cursor.Epoch <= kept.Cursor.Epoch || time.Since(begin) > 2*time.Second {
			t.Errorf("after %v it stands at %s", time.Since(begin), got.Cursor)
		}
		wantStartedOver(t, b, kept.Cursor)
	})
}

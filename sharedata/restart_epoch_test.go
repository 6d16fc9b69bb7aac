package sharedata

import (
	"testing"

	"github.com/safe-go/safe/internal/sharedstore"
)

// A process whose clock was ahead has used an epoch later than the present time. A
// restarted epoch is later still, also where the store has rolled back to an epoch before
// it.
func TestRestart_LaterThanKnownEpochs(t *testing.T) {
	const ahead = 1 << 62
	process := sharedstore.New().Process()
	put := func(at position, changes []change, epoch uint64) position {
		d := decideAll(at, changes, epoch, verdicts{})
		if err := process.Append(t.Context(), "n", d.batch(at)); err != nil {
			t.Fatal(err)
		}
		return d.next
	}
	for _, back := range []bool{false, true} {
		shared := sharedstore.New()
		process = shared.Process()
		first := put(position{}, []change{create(1)}, 7)
		put(first, []change{remove()}, 0)
		second := put(position{}, []change{create(2)}, ahead)
		m := newManagerWith(t, &Options{Store: process})
		if at, err := m.Refresh(t.Context(), "n"); err != nil || at.Cursor != second.cursor {
			t.Fatal(at, err)
		}
		if back { // to another incarnation
			shared.Rollback("n", first.cursor)
		} else { // within the same incarnation
			third := put(second, []change{update(3)}, 0)
			if _, err := m.Refresh(t.Context(), "n"); err != nil {
				t.Fatal(err)
			}
			shared.Rollback("n", second.cursor)
			second = third
		}
		at, err := m.Refresh(t.Context(), "n")
		if err != nil || at.Cursor.Epoch <= ahead {
			t.Errorf("back %v: restarted at %s, %v", back, at.Cursor, err)
		}
		if chain, err := m.VerifyHistory(t.Context(), "n"); err != nil || chain.Last != at.Cursor {
			t.Errorf("back %v: %+v, %v", back, chain, err)
		}
		if err := m.Remove(t.Context(), "n"); err != nil {
			t.Fatal(err)
		}
		again, err := m.Create(t.Context(), "n", 0)
		if err != nil || again.Cursor.Epoch <= at.Cursor.Epoch {
			t.Errorf("back %v: created at %s after %s, %v", back, again.Cursor, at.Cursor, err)
		}
	}
}

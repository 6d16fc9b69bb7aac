package bolt

import (
	"context"
	"testing"

	"github.com/safe-go/safe/replay"
)

func TestARefusalSaysWhatWasMissedUnlessThatIsALot(t *testing.T) {
	s, k := open(t, newPath(t), nil), known{}
	var many []replay.Entry
	for range maxMissed + 1 {
		many = append(many, entryOf("data"))
	}
	mustAppend(t, s, k, "many", k.next("many", many...))
	mustAppend(t, s, k, "large", k.next("large", replay.Entry{Data: make([]byte, maxMissedBytes)}, entryOf("a"), entryOf("b")))
	for _, test := range []struct {
		id       string
		revision uint64
		missed   int
	}{
		{"many", 0, 0}, // 1001 are too many
		{"many", 1, maxMissed},
		{"many", maxMissed, 1},
		{"many", maxMissed + 2, 0},
		{"large", 0, 0},
		{"large", 1, 2},
	} {
		expect := replay.Cursor{Epoch: 7, Revision: test.revision}
		err := s.Append(t.Context(), test.id, numbered(replay.Batch{Expect: expect}, expect, []replay.Entry{entryOf("lost")}))
		conflict := conflictOf(t, answer{err})
		if len(conflict.Missed) != test.missed {
			t.Errorf("%q after %d: %d missed; want %d", test.id, test.revision, len(conflict.Missed), test.missed)
		}
		if test.missed > 0 {
			if err := sameEntries(conflict.Missed, k[test.id].entries()[test.revision:]); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestARefusalNamesTheHeadThatItWasJudgedBy(t *testing.T) {
	s, k := open(t, newPath(t), nil), known{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("a"), entryOf("b")))
	conflict := &replay.ConflictError{ID: "id", Expected: replay.Cursor{Epoch: 7, Revision: 1}, Head: k["id"].head()}
	want := k["id"].entries()[1:]
	mustAppend(t, s, k, "id", k.next("id", entryOf("c"))) // before it is looked up what was missed
	s.addMissed(t.Context(), conflict)
	if err := sameEntries(conflict.Missed, want); err != nil {
		t.Error(err)
	}
	conflict.Missed = nil
	remove(t, s, k, "id")
	s.addMissed(t.Context(), conflict)
	if conflict.Missed != nil {
		t.Errorf("%d entries of a removed history were missed", len(conflict.Missed))
	}
}

func TestReadersWhoseContextHasEndedGetNothing(t *testing.T) {
	s, k := open(t, newPath(t), nil), known{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("data")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range s.IDs(ctx) {
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		if err == nil && ctx.Err() != nil {
			t.Error("IDs goes on after the context has ended")
		}
		cancel()
	}
}

package sharedata

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// A keyed proposal that comes to no verdict may have had one before. Unless the
// store was asked for the key, the key is undecided, and the decision is not used.
func TestDecide_UndecidedKeys(t *testing.T) {
	earlier := Entry{Type: EntryTransaction, Accepted: true, Cursor: replay.Cursor{Epoch: 7, Revision: 1}}
	for _, test := range []struct {
		name    string
		from    position
		changes []change
		known   []string
		missing []string
		want    []string
	}{
		{"a failure without a key", startedAt(7, 3), []change{{kind: changePropose, binding: binding{function: breaking}}}, nil, nil, nil},
		{"a failure", startedAt(7, 3), []change{proposeBroken("k")}, nil, nil, []string{"0:k"}},
		{"a failure whose key is missing in the store", startedAt(7, 3), []change{proposeBroken("k")}, nil, []string{"0:k"}, nil},
		{"a failure where another key is missing", startedAt(7, 3), []change{proposeBroken("k")}, nil, []string{"0:j"}, []string{"0:k"}},
		{"a repeat that would fail", startedAt(7, 3), []change{proposeBroken("k")}, []string{"0:k"}, nil, nil},
		{"verdicts", startedAt(7, 3), []change{proposeKeyed("a", 1), proposeKeyed("b", -9)}, nil, nil, nil},
		{"a verdict, then its repeat that would fail", startedAt(7, 3), []change{proposeKeyed("k", 1), proposeBroken("k")}, nil, nil, nil},
		{"a failure, then a verdict", startedAt(7, 3), []change{proposeBroken("k"), proposeKeyed("k", 1)}, nil, nil, []string{"0:k"}},
		{"several", startedAt(7, 3), []change{proposeBroken("a"), propose(1), proposeBroken("b"), proposeBroken("c")}, nil, []string{"0:b"}, []string{"0:a", "0:c"}},
		{"another epoch", startedAt(7, 3), []change{inEpoch(6, proposeKeyed("k", 1))}, nil, nil, []string{"0:k"}},
		{"nothing there", position{}, []change{proposeKeyed("k", 1)}, nil, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			known := verdicts{found: make(map[string]Entry), missing: make(map[string]bool)}
			for _, key := range test.known {
				known.found[key] = earlier
			}
			for _, key := range test.missing {
				known.missing[key] = true
			}
			if d := decideAll(test.from, test.changes, 8, known); !slices.Equal(d.undecided, test.want) {
				t.Errorf("undecided are %q, want %q", d.undecided, test.want)
			}
		})
	}
}

// Verdicts that were learned at one position are not used at another one.
func TestVerdicts_OfOnePosition(t *testing.T) {
	s := &shareData{id: "n"}
	c := committer{shareData: s}
	here, there := startedAt(7, 3), startedAt(8, 3)
	d := c.newDecision(here)
	if len(d.known.found) != 0 || len(d.known.missing) != 0 {
		t.Errorf("at first: %+v", d.known)
	}
	c.known.found, c.known.missing = map[string]Entry{"k": {}}, map[string]bool{"l": true}
	if d = c.newDecision(here); len(d.known.found) != 1 || !d.known.missing["l"] {
		t.Errorf("at the same position: %+v", d.known)
	}
	if d = c.newDecision(there); len(d.known.found) != 0 || len(d.known.missing) != 0 {
		t.Errorf("at another position: %+v", d.known)
	}
	if d = c.newDecision(here); len(d.known.found) != 0 {
		t.Errorf("back again: %+v", d.known)
	}
}

func TestContention_GivesUp(t *testing.T) {
	for _, limit := range []time.Duration{0, -1} {
		var c contention
		for range 40 {
			if err := c.wait(0, limit); err != nil {
				t.Fatalf("limit %d: %v", limit, err)
			}
		}
	}
	var c contention
	for range 1000 {
		if err := c.wait(0, time.Millisecond); err != nil {
			if !errors.Is(err, ErrBusy) {
				t.Errorf("got %v", err)
			}
			return
		}
	}
	t.Error("it never gives up")
}

// The bytes that a store is asked to take at once are bounded, however large states
// are.
func TestDecide_BatchBytes(t *testing.T) {
	large := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	changes := slices.Repeat([]change{{kind: changeUpdate, state: large}}, 100)
	d := decideAll(startedAt(7, 3), changes, 8, verdicts{})
	if n := len(d.outcomes); n != 8 || len(d.records) != n || d.next.cursor.Revision != 9 {
		t.Errorf("%d of %d MiB were taken, up to %s", n, len(changes), d.next.cursor)
	}
}

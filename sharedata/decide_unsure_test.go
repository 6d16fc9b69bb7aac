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

// A proposal that comes to no verdict may have had one before: unless it has
// been looked for, the decision says so, and nobody may be answered by it.
func TestDecideIsUnsureOfWhatComesToNoVerdict(t *testing.T) {
	earlier := Entry{Type: EntryTransaction, Accepted: true, Cursor: replay.Cursor{Epoch: 7, Revision: 1}}
	for _, test := range []struct {
		name    string
		from    position
		changes []change
		known   []string
		looked  []string
		want    []string
	}{
		{"a failure without a key", startedAt(7, 3), []change{{kind: changePropose, binding: binding{apply: breaking}}}, nil, nil, nil},
		{"a failure", startedAt(7, 3), []change{proposeBroken("k")}, nil, nil, []string{"0:k"}},
		{"a failure that was looked for", startedAt(7, 3), []change{proposeBroken("k")}, nil, []string{"0:k"}, nil},
		{"a failure of which another was looked for", startedAt(7, 3), []change{proposeBroken("k")}, nil, []string{"0:j"}, []string{"0:k"}},
		{"a repeat that would fail", startedAt(7, 3), []change{proposeBroken("k")}, []string{"0:k"}, nil, nil},
		{"verdicts", startedAt(7, 3), []change{proposeKeyed("a", 1), proposeKeyed("b", -9)}, nil, nil, nil},
		{"a verdict, then its repeat that would fail", startedAt(7, 3), []change{proposeKeyed("k", 1), proposeBroken("k")}, nil, nil, nil},
		{"a failure, then a verdict", startedAt(7, 3), []change{proposeBroken("k"), proposeKeyed("k", 1)}, nil, nil, []string{"0:k"}},
		{"several", startedAt(7, 3), []change{proposeBroken("a"), propose(1), proposeBroken("b"), proposeBroken("c")}, nil, []string{"0:b"}, []string{"0:a", "0:c"}},
		{"another epoch", startedAt(7, 3), []change{inEpoch(6, proposeKeyed("k", 1))}, nil, nil, []string{"0:k"}},
		{"nothing there", position{}, []change{proposeKeyed("k", 1)}, nil, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			given := circumstances{id: "n", epoch: 8, now: time.Now(), known: make(map[string]Entry), looked: make(map[string]bool)}
			for _, key := range test.known {
				given.known[key] = earlier
			}
			for _, key := range test.looked {
				given.looked[key] = true
			}
			if d := decide(test.from, test.changes, given); !slices.Equal(d.unsure, test.want) {
				t.Errorf("unsure of %q, want %q", d.unsure, test.want)
			}
		})
	}
}

// What was learned of a position is not taken to be so at another one.
func TestAttemptsKnowVerdictsAtOnePositionOnly(t *testing.T) {
	var a attempts
	here, there := startedAt(7, 3), startedAt(8, 3)
	if a.knownAt(here) != nil {
		t.Error("it knows something from nowhere")
	}
	a.know(map[string]Entry{"k": {}}, []string{"k", "l"})
	a.know(nil, []string{"m"})
	if known := a.knownAt(here); len(known) != 1 || !a.looked["k"] || !a.looked["l"] || !a.looked["m"] {
		t.Errorf("known %v, looked for %v", known, a.looked)
	}
	if known := a.knownAt(there); len(known) != 0 || len(a.looked) != 0 {
		t.Errorf("at another position: known %v, looked for %v", known, a.looked)
	}
	if known := a.knownAt(here); len(known) != 0 {
		t.Errorf("back again: known %v", known)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	for _, limit := range []time.Duration{0, -1} {
		a := attempts{limit: limit}
		for range 40 {
			if err := a.again(0); err != nil {
				t.Fatalf("limit %d: %v", limit, err)
			}
		}
	}
	a := attempts{limit: time.Millisecond}
	for range 1000 {
		if err := a.again(0); err != nil {
			if !errors.Is(err, ErrBusy) {
				t.Errorf("got %v", err)
			}
			return
		}
	}
	t.Error("it never gives up")
}

// However large states are, what a store is asked to take at once is bounded.
func TestDecideTakesFewerWhereABatchGetsLarge(t *testing.T) {
	large := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	changes := slices.Repeat([]change{{kind: changeUpdate, state: large}}, 100)
	d := decide(startedAt(7, 3), changes, circumstances{id: "n", epoch: 8})
	if n := len(d.outcomes); n != 8 || len(d.records) != n || d.next.cursor.Revision != 9 {
		t.Errorf("%d of %d MiB were taken, up to %s", n, len(changes), d.next.cursor)
	}
}

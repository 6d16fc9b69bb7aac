package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/safe-go/safe/replay"
)

// The decisions below are about a state that is a number of at least 0.

var errBroken = errors.New("broken")

func adding(n int) *Function {
	return NewRawFunction("add", func(_ context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
		value, err := Decode[int](state)
		if err != nil {
			return nil, err
		}
		if value+n < 0 {
			return nil, &Rejection{Reason: "below zero"}
		}
		return json.RawMessage(strconv.Itoa(value + n)), nil
	})
}

var breaking = NewRawFunction("add", func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
	return nil, errBroken
})

// decideAll decides the changes as a committer does, but runs their functions here.
func decideAll(at position, changes []change, epoch uint64, known verdicts) *decision {
	return decideAt(&decision{id: "n", epoch: epoch, known: &known, next: at}, changes)
}

func decideAt(d *decision, changes []change) *decision {
	for i := range changes {
		c := &changes[i]
		if !d.decideAlone(c) {
			by, err := c.function.apply(context.Background(), d.next.state, c.data)
			d.decide(c, &result{effect: by, err: err})
		}
		if d.isFull() {
			break
		}
	}
	return d
}

func create(value int) change {
	return change{kind: changeCreate, state: json.RawMessage(strconv.Itoa(value)), kindName: "number"}
}

func propose(n int) change {
	return change{kind: changePropose, binding: binding{function: adding(n)}, data: json.RawMessage(strconv.Itoa(n))}
}

func proposeKeyed(key string, n int) change {
	c := propose(n)
	c.key, c.idempotencyKey = "0:"+key, key
	return c
}

func proposeBroken(key string) change {
	c := proposeKeyed(key, 0)
	c.function = breaking
	return c
}

func inEpoch(epoch uint64, c change) change {
	c.origin = epoch
	return c
}

func update(value int) change {
	return change{kind: changeUpdate, state: json.RawMessage(strconv.Itoa(value))}
}

func remove() change { return change{kind: changeRemove} }

func nothing() change { return change{kind: changeNothing} }

// startedAt is a history that consists of its creation in the epoch.
func startedAt(epoch uint64, value int) position {
	return decideAll(position{}, []change{create(value)}, epoch, verdicts{}).next
}

func describeOutcome(c change, o outcome) string {
	var text string
	switch {
	case o.err != nil:
		text = "unexpected error " + o.err.Error()
		for _, known := range []error{ErrExists, ErrUnknownShareData, errBroken} {
			if errors.Is(o.err, known) {
				text = "error: " + known.Error()
			}
		}
	case c.kind != changePropose && !o.at.exists:
		text = "at nothing"
	case c.kind != changePropose:
		text = fmt.Sprintf("at %s state %s", o.at.cursor, o.at.state)
	case o.verdict.Accepted:
		text = fmt.Sprintf("accepted %s", o.verdict.Cursor)
	default:
		text = fmt.Sprintf("rejected %s %s", o.verdict.Cursor, o.verdict.Reason)
	}
	if o.verdict.Duplicate {
		text += " again"
	}
	return text
}

func describeDecision(changes []change, d *decision) (outcomes, entries []string) {
	for i, o := range d.outcomes {
		outcomes = append(outcomes, describeOutcome(changes[i], o))
	}
	for _, e := range d.events {
		entries = append(entries, fmt.Sprintf("%s %s %s", e.Cursor, e.Type, e.State))
	}
	return outcomes, entries
}

func TestDecide(t *testing.T) {
	earlier := Entry{Type: EntryTransaction, Accepted: true, Cursor: replay.Cursor{Epoch: 7, Revision: 1}}
	refused := Entry{Type: EntryTransaction, Reason: "once", Cursor: replay.Cursor{Epoch: 7, Revision: 1}}
	for _, test := range []struct {
		name     string
		at       position
		changes  []change
		known    map[string]Entry
		outcomes []string
		entries  []string
		removed  bool
	}{
		{
			name: "nothing to do",
		},
		{
			name:     "a create begins a history in the given epoch",
			changes:  []change{create(3)},
			outcomes: []string{"at 9-1 state 3"},
			entries:  []string{"9-1 created 3"},
		},
		{
			name:     "a create on what exists changes nothing",
			at:       startedAt(7, 3),
			changes:  []change{create(5), nothing()},
			outcomes: []string{"error: ShareData exists already", "at 7-1 state 3"},
		},
		{
			name:    "nothing can be done to what does not exist",
			changes: []change{propose(1), update(1), remove(), nothing()},
			outcomes: []string{
				"error: unknown ShareData", "error: unknown ShareData", "error: unknown ShareData", "at nothing",
			},
		},
		{
			name:     "each proposal sees the state that the one before it left",
			at:       startedAt(7, 3),
			changes:  []change{propose(2), propose(-5), propose(-1), propose(1)},
			outcomes: []string{"accepted 7-2", "accepted 7-3", "rejected 7-4 below zero", "accepted 7-5"},
			entries:  []string{"7-2 transaction 5", "7-3 transaction 0", "7-4 transaction 0", "7-5 transaction 1"},
		},
		{
			name:     "a function that fails changes nothing and leaves no entry",
			at:       startedAt(7, 3),
			changes:  []change{propose(1), proposeBroken("k"), propose(1)},
			outcomes: []string{"accepted 7-2", "error: broken", "accepted 7-3"},
			entries:  []string{"7-2 transaction 4", "7-3 transaction 5"},
		},
		{
			name:     "what is created can be proposed to in the same batch",
			changes:  []change{create(3), propose(1), create(9), inEpoch(9, propose(1))},
			outcomes: []string{"at 9-1 state 3", "accepted 9-2", "error: ShareData exists already", "accepted 9-3"},
			entries:  []string{"9-1 created 3", "9-2 transaction 4", "9-3 transaction 5"},
		},
		{
			name:     "an update replaces the state for what follows",
			at:       startedAt(7, 3),
			changes:  []change{propose(1), update(100), propose(1)},
			outcomes: []string{"accepted 7-2", "at 7-3 state 100", "accepted 7-4"},
			entries:  []string{"7-2 transaction 4", "7-3 updated 100", "7-4 transaction 101"},
		},
		{
			name:     "a removal ends the batch, what comes after it is left",
			at:       startedAt(7, 3),
			changes:  []change{propose(1), remove(), create(1), propose(1)},
			outcomes: []string{"accepted 7-2", "at nothing"},
			entries:  []string{"7-2 transaction 4", "7-3 removed "},
			removed:  true,
		},
		{
			name:     "created and removed in one batch",
			changes:  []change{create(1), remove()},
			outcomes: []string{"at 9-1 state 1", "at nothing"},
			entries:  []string{"9-1 created 1", "9-2 removed "},
			removed:  true,
		},
		{
			name:     "a proposal meant for an earlier incarnation is refused",
			at:       startedAt(7, 3),
			changes:  []change{inEpoch(6, propose(1)), inEpoch(7, propose(1))},
			outcomes: []string{"error: unknown ShareData", "accepted 7-2"},
			entries:  []string{"7-2 transaction 4"},
		},
		{
			name:     "a key repeated within the batch takes effect once",
			at:       startedAt(7, 3),
			changes:  []change{proposeKeyed("k", 1), proposeKeyed("k", 1), proposeKeyed("j", 1), proposeKeyed("k", 50)},
			outcomes: []string{"accepted 7-2", "accepted 7-2 again", "accepted 7-3", "accepted 7-2 again"},
			entries:  []string{"7-2 transaction 4", "7-3 transaction 5"},
		},
		{
			name:     "a rejection is repeated too",
			at:       startedAt(7, 3),
			changes:  []change{proposeKeyed("k", -4), propose(4), proposeKeyed("k", -4)},
			outcomes: []string{"rejected 7-2 below zero", "accepted 7-3", "rejected 7-2 below zero again"},
			entries:  []string{"7-2 transaction 3", "7-3 transaction 7"},
		},
		{
			name:     "a failure is not remembered by its key",
			at:       startedAt(7, 3),
			changes:  []change{proposeBroken("k"), proposeKeyed("k", 1), proposeBroken("k")},
			outcomes: []string{"error: broken", "accepted 7-2", "accepted 7-2 again"},
			entries:  []string{"7-2 transaction 4"},
		},
		{
			name:     "a key that the store knows gets the first verdict",
			at:       startedAt(7, 3),
			changes:  []change{proposeKeyed("k", 1), proposeKeyed("j", 1), proposeKeyed("i", 1)},
			known:    map[string]Entry{"0:k": earlier, "0:i": refused},
			outcomes: []string{"accepted 7-1 again", "accepted 7-2", "rejected 7-1 once again"},
			entries:  []string{"7-2 transaction 4"},
		},
		{
			name:     "no key is no repeat of no key",
			at:       startedAt(7, 3),
			changes:  []change{propose(1), propose(1)},
			known:    map[string]Entry{"0:k": earlier},
			outcomes: []string{"accepted 7-2", "accepted 7-3"},
			entries:  []string{"7-2 transaction 4", "7-3 transaction 5"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := test.at
			d := decideAll(test.at, test.changes, 9, verdicts{found: test.known})
			outcomes, entries := describeDecision(test.changes, d)
			if !slices.Equal(outcomes, test.outcomes) {
				t.Errorf("outcomes\n got %q\nwant %q", outcomes, test.outcomes)
			}
			if !slices.Equal(entries, test.entries) {
				t.Errorf("entries\n got %q\nwant %q", entries, test.entries)
			}
			if d.removed != test.removed || test.removed == d.next.exists && len(d.events) > 0 {
				t.Errorf("remove is %v, and afterwards exists is %v", d.removed, d.next.exists)
			}
			checkDecision(t, before, d)
		})
	}
}

// entriesOf are the entries of a decision.
func entriesOf(d *decision) (entries []Entry) {
	for i := range d.events {
		entries = append(entries, d.events[i].Entry)
	}
	return entries
}

// checkDecision checks that the records and events of a decision hold the same entries,
// and that these continue the chain.
func checkDecision(t *testing.T, at position, d *decision) {
	t.Helper()
	if len(d.events) != len(d.records) {
		t.Fatalf("%d records, %d events", len(d.records), len(d.events))
	}
	previous, state := at.hash, at.state
	for i, event := range d.events {
		r, e := d.records[i], event.Entry
		if e.Type == EntryCreated {
			previous = Hash{}
		}
		if e.Previous != previous || e.Hash != e.computeHash() {
			t.Errorf("entry %d is not chained", i)
		}
		previous = e.Hash
		decoded, err := entryFrom("n", r)
		if err != nil || decoded.Hash != e.Hash || decoded.computeHash() != e.Hash {
			t.Errorf("record %d does not hold its entry: %v", i, err)
		}
		if !e.Time.Equal(d.now) {
			t.Errorf("entry %d has the time %v", i, e.Time)
		}
		switch next, err := stateAfter(state, &decoded); {
		case err != nil:
			t.Errorf("record %d: %v", i, err)
		case e.Type == EntryRemoved:
			state = nil
		case next != nil:
			state = next
		}
		if string(event.State) != string(state) || event.Hash != e.Hash || event.Reset {
			t.Errorf("event %d is %+v, the state is %s", i, event, state)
		}
		if e.StateHash != HashState(state) {
			t.Errorf("entry %d has the hash of another state", i)
		}
		if changes := e.Type == EntryCreated || e.Type == EntryUpdated || e.Accepted; changes != (decoded.Patch != nil || decoded.NewState != nil) {
			t.Errorf("record %d has the patch %q and the state %q", i, decoded.Patch, decoded.NewState)
		}
	}
	if len(d.events) == 0 {
		if !slices.Equal(d.next.state, at.state) || d.next.cursor != at.cursor || d.next.hash != at.hash {
			t.Errorf("the position moved without an entry: %+v", d.next)
		}
		return
	}
	last := d.last()
	if d.removed != (last.Type == EntryRemoved) {
		t.Errorf("remove is %v after an entry %s", d.removed, last.Type)
	}
	if !d.removed && (d.next.cursor != last.Cursor || d.next.hash != last.Hash || string(d.next.state) != string(state)) {
		t.Errorf("the position afterwards is %+v", d.next)
	}
}

// Each outcome has the position after its change, with the last transaction and the
// kind.
func TestDecide_PositionOfOutcome(t *testing.T) {
	changes := []change{create(1), propose(1), propose(-9), update(4)}
	d := decideAll(position{}, changes, 9, verdicts{})
	for i, want := range []replay.Cursor{{}, {Epoch: 9, Revision: 2}, {Epoch: 9, Revision: 3}, {Epoch: 9, Revision: 3}} {
		if got := d.outcomes[i].at; got.lastTransaction != want || got.kind != "number" {
			t.Errorf("after change %d: last transaction %s, kind %q; want %s", i, got.lastTransaction, got.kind, want)
		}
	}
}

// An outcome that rests on entries of the same batch is pending: it must not be
// handed out if they are not stored.
func TestDecide_Pending(t *testing.T) {
	known := map[string]Entry{"0:old": {Type: EntryTransaction, Accepted: true, Cursor: replay.Cursor{Epoch: 7, Revision: 1}}}
	for _, test := range []struct {
		name    string
		at      position
		changes []change
		want    []bool
	}{
		{"before the first entry nothing is pending", startedAt(7, 0),
			[]change{create(1), nothing(), proposeBroken(""), proposeKeyed("old", 1)}, []bool{false, false, false, false}},
		{"every entry's own outcome is pending", startedAt(7, 0),
			[]change{propose(1), propose(-5), update(3), remove()}, []bool{true, true, true, true}},
		{"a read after a create", position{}, []change{create(1), nothing()}, []bool{true, true}},
		{"a second create", position{}, []change{create(1), create(1)}, []bool{true, true}},
		{"a failure on a state that is not stored", startedAt(7, 0),
			[]change{propose(1), proposeBroken("")}, []bool{true, true}},
		{"a repeat within the batch", startedAt(7, 0),
			[]change{proposeKeyed("k", 1), proposeKeyed("k", 1)}, []bool{true, true}},
		{"a repeat of what is stored rests on nothing new", startedAt(7, 0),
			[]change{propose(1), proposeKeyed("old", 1)}, []bool{true, false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decideAll(test.at, test.changes, 9, verdicts{found: known})
			var got []bool
			for _, o := range d.outcomes {
				got = append(got, o.pending)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("pending\n got %v\nwant %v", got, test.want)
			}
		})
	}
}

// Deciding twice gives the same entries, and leaves the position as it is.
func TestDecide_Pure(t *testing.T) {
	at := startedAt(7, 3)
	state := string(at.state)
	first := decideAll(at, []change{propose(1), update(8), remove()}, 9, verdicts{})
	second := decideAll(at, []change{propose(1), update(8), remove()}, 9, verdicts{})
	if string(at.state) != state || at.cursor != (replay.Cursor{Epoch: 7, Revision: 1}) {
		t.Errorf("the position is now %+v", at)
	}
	for i := range first.events {
		if first.events[i].Hash != second.events[i].Hash {
			t.Errorf("entry %d differs when it is decided again", i)
		}
	}
}

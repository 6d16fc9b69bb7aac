package sharedata

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/safe-go/safe/replay"
)

// model is what a decision does, in its simplest form.
type model struct {
	exists   bool
	value    int
	at       replay.Cursor
	verdicts map[string]Verdict
}

// apply makes one change and describes its outcome.
func (m *model) apply(c change, add int, broken bool, nextEpoch uint64) string {
	switch {
	case c.kind == changeNothing:
		if !m.exists {
			return "at nothing"
		}
		return fmt.Sprintf("at %s state %d", m.at, m.value)
	case c.kind == changeCreate:
		if m.exists {
			return "error: ShareData exists already"
		}
		value, _ := strconv.Atoi(string(c.state))
		*m = model{exists: true, value: value, at: replay.Cursor{Epoch: nextEpoch, Revision: 1}, verdicts: map[string]Verdict{}}
		return fmt.Sprintf("at %s state %d", m.at, m.value)
	case !m.exists:
		return "error: unknown ShareData"
	case c.kind == changeUpdate:
		m.value, _ = strconv.Atoi(string(c.state))
		m.at.Revision++
		return fmt.Sprintf("at %s state %d", m.at, m.value)
	case c.kind == changeRemove:
		*m = model{}
		return "at nothing"
	}
	if v, known := m.verdicts[c.key]; known && c.key != "" {
		v.Duplicate = true
		return describeOutcome(c, outcome{verdict: v})
	}
	switch {
	case c.origin != 0 && c.origin != m.at.Epoch:
		return "error: unknown ShareData"
	case broken:
		return "error: broken"
	}
	m.at.Revision++
	v := Verdict{Accepted: m.value+add >= 0, Cursor: m.at}
	if v.Accepted {
		m.value += add
	} else {
		v.Reason = "below zero"
	}
	m.verdicts[c.key] = v
	return describeOutcome(c, outcome{verdict: v})
}

func TestDecide_Model(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var m model
		var at position
		var history []Entry
		stored := make(map[string]Entry)
		for round := range 20 {
			epoch := seed + 1 + uint64(round)*10
			var changes []change
			var want []string
			for range random.IntN(8) {
				add, broken := random.IntN(9)-5, random.IntN(6) == 0
				c := propose(add)
				switch random.IntN(12) {
				case 0, 1:
					c = create(random.IntN(9))
				case 2:
					c = update(random.IntN(9))
				case 3:
					c = remove()
				case 4:
					c = nothing()
				case 5, 6, 7:
					c = proposeKeyed(strconv.Itoa(random.IntN(6)), add)
				case 8:
					c.origin = at.cursor.Epoch
				case 9:
					c.origin = epoch - 5 // no history has it
				}
				if broken && c.kind == changePropose {
					c.function = breaking
				}
				existed := m.exists
				changes = append(changes, c)
				want = append(want, m.apply(c, add, broken, epoch))
				if existed && !m.exists {
					break // the rest would be decided in a batch of its own
				}
			}
			d := decideAll(at, changes, epoch, verdicts{found: stored})
			got, _ := describeDecision(changes, d)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, round %d:\n got %q\nwant %q", seed, round, got, want)
			}
			checkDecision(t, at, d)
			for i, r := range d.records {
				if d.events[i].Entry.Type == EntryCreated {
					history, stored = nil, make(map[string]Entry)
				}
				history = append(history, d.events[i].Entry)
				if r.Key != "" {
					stored[r.Key] = d.events[i].Entry
				}
			}
			if d.removed {
				stored = make(map[string]Entry)
			}
			at = d.next
			if _, err := Verify(sequence(history)); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
			if at.exists != m.exists || at.exists && string(at.state) != strconv.Itoa(m.value) {
				t.Fatalf("seed %d, round %d: at %+v, the model at %+v", seed, round, at, m)
			}
		}
	}
}

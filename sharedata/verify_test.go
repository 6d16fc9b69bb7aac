package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

func sequence(entries []Entry) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// someHistory has seven entries, one of each type and verdict.
func someHistory(id string, epoch uint64) []Entry {
	caller := &Caller{Subject: "ann", Claims: json.RawMessage(`{"role":"admin"}`)}
	changes := []change{create(3), proposeKeyed("k", 2), propose(-9), update(7), propose(1), propose(0), remove()}
	for i := range changes {
		changes[i].caller = caller
	}
	d := &decision{id: id, epoch: epoch, now: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), known: &verdicts{}}
	return entriesOf(decideAt(d, changes))
}

// reseal recomputes the hash of an entry that was changed.
func reseal(e *Entry) { e.Hash = e.computeHash() }

func TestVerify_Unbroken(t *testing.T) {
	history := someHistory("n", 7)
	for first := range history {
		for end := first + 1; end <= len(history); end++ {
			chain, err := Verify(sequence(history[first:end]))
			last := history[end-1]
			want := Chain{ShareDataID: "n", First: history[first].Cursor, Last: last.Cursor, Hash: last.Hash, Removed: last.Type == EntryRemoved}
			if err != nil || chain != want {
				t.Errorf("entries %d to %d: %+v, %v; want %+v", first, end, chain, err, want)
			}
		}
	}
	if chain, err := Verify(sequence(nil)); err != nil || chain != (Chain{}) {
		t.Errorf("no entries: %+v, %v", chain, err)
	}
}

// restartedHistory has two entries of one epoch, and two of each of the two
// epochs in which the history was restarted.
func restartedHistory() []Entry {
	h := someHistory("n", 7)[:2]
	for epoch := uint64(8); epoch < 10; epoch++ {
		last := h[len(h)-1]
		at := position{exists: true, cursor: last.Cursor, state: json.RawMessage("5"), kind: "number", hash: last.Hash}
		d := &decision{id: "n", epoch: epoch, now: last.Time, known: &verdicts{}, next: at}
		d.addEntry(&Entry{Type: EntryCreated, Kind: at.kind, Continues: at.cursor}, "", effect{state: at.state})
		h = append(h, entriesOf(decideAt(d, []change{propose(0)}))...)
	}
	return h
}

func TestVerify_AcrossEpochs(t *testing.T) {
	history := restartedHistory()
	for first := range history {
		for end := first + 1; end <= len(history); end++ {
			chain, err := Verify(sequence(history[first:end]))
			last := history[end-1]
			want := Chain{ShareDataID: "n", First: history[first].Cursor, Last: last.Cursor, Hash: last.Hash, Removed: last.Type == EntryRemoved}
			if err != nil || chain != want {
				t.Errorf("entries %d to %d: %+v, %v; want %+v", first, end, chain, err, want)
			}
		}
	}
}

func TestVerify_ForgedContinuation(t *testing.T) {
	const at = 2 // the first entry that continues another one
	for name, forge := range map[string]func(h []Entry) []Entry{
		"without what it continues":          func(h []Entry) []Entry { h[at].Continues = replay.Cursor{}; return h },
		"without the hash of that":           func(h []Entry) []Entry { h[at].Previous = Hash{}; return h },
		"as if nothing had been before":      func(h []Entry) []Entry { h[at].Continues, h[at].Previous = replay.Cursor{}, Hash{}; return h },
		"of another hash":                    func(h []Entry) []Entry { h[at].Previous[0] ^= 1; return h },
		"of an earlier entry":                func(h []Entry) []Entry { h[at].Continues.Revision--; return h },
		"of an earlier entry, with its hash": func(h []Entry) []Entry { h[at].Continues, h[at].Previous = h[0].Cursor, h[0].Hash; return h },
		"of a later entry":                   func(h []Entry) []Entry { h[at].Continues.Revision++; return h },
		"of another epoch":                   func(h []Entry) []Entry { h[at].Continues.Epoch--; return h },
		"in the same epoch":                  func(h []Entry) []Entry { h[at].Cursor.Epoch = 7; return h },
		"in an earlier epoch":                func(h []Entry) []Entry { h[at].Cursor.Epoch = 6; return h },
		"of itself":                          func(h []Entry) []Entry { h[at].Continues = h[at].Cursor; return h },
		"in the middle":                      func(h []Entry) []Entry { h[at].Cursor.Revision = 2; return h },
		"of another type":                    func(h []Entry) []Entry { h[at].Type = EntryUpdated; return h },
		"of another ShareData":               func(h []Entry) []Entry { h[at].ShareDataID = "m"; return h },
		"of an entry that is left out":       func(h []Entry) []Entry { return slices.Delete(h, at-1, at) },
		"of one that another one continues":  func(h []Entry) []Entry { return slices.Delete(h, at, at+2) },
		"twice":                              func(h []Entry) []Entry { return slices.Insert(h, at+1, h[at]) },
		"after a removal": func(h []Entry) []Entry {
			h[at-1].Type = EntryRemoved
			reseal(&h[at-1])
			h[at].Previous = h[at-1].Hash
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			forged := forge(restartedHistory())
			if name != "of one that another one continues" && name != "twice" {
				for i := range forged { // recompute the hashes, to hide the change
					if i >= at-1 {
						reseal(&forged[i])
					}
					if i > at {
						forged[i].Previous = forged[i-1].Hash
						reseal(&forged[i])
					}
				}
			}
			chain, err := Verify(sequence(forged))
			if !errors.Is(err, ErrChainBroken) {
				t.Errorf("%+v, %v", chain, err)
			}
		})
	}
}

// Without the entries before it, what a continuation continues cannot be checked,
// but contradictions within it are found.
func TestVerify_ContinuationAlone(t *testing.T) {
	for name, forge := range map[string]func(e *Entry){
		"of a later epoch":          func(e *Entry) { e.Continues.Epoch = 9 },
		"of the same epoch":         func(e *Entry) { e.Continues.Epoch = 8 },
		"without a hash":            func(e *Entry) { e.Previous = Hash{} },
		"without what it continues": func(e *Entry) { e.Continues = replay.Cursor{} },
		"in the middle":             func(e *Entry) { e.Cursor.Revision, e.Type = 2, EntryUpdated },
	} {
		alone := restartedHistory()[2:3]
		if _, err := Verify(sequence(alone)); err != nil {
			t.Fatal(err)
		}
		forge(&alone[0])
		reseal(&alone[0])
		if _, err := Verify(sequence(alone)); !errors.Is(err, ErrChainBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerify_AfterJSON(t *testing.T) {
	history := someHistory("n", 7)
	history[6].Caller = &Caller{Subject: "<&>", Claims: json.RawMessage(`{ "a" : "<&>" }`)}
	reseal(&history[6])
	verifyAfterJSON(t, history)
	verifyAfterJSON(t, restartedHistory())
}

func verifyAfterJSON(t *testing.T, history []Entry) {
	t.Helper()
	var decoded []Entry
	for _, e := range history {
		text, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var d Entry
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		decoded = append(decoded, d)
	}
	if _, err := Verify(sequence(decoded)); err != nil {
		t.Error(err)
	}
}

func TestVerify_Tampering(t *testing.T) {
	foreign := someHistory("m", 7)
	otherEpoch := someHistory("n", 8)
	at := func(revision uint64) replay.Cursor { return replay.Cursor{Epoch: 7, Revision: revision} }
	for _, test := range []struct {
		name   string
		tamper func(h []Entry) []Entry
		want   replay.Cursor // the position of the first entry that does not fit
	}{
		{"a changed entry", func(h []Entry) []Entry { h[2].Reason = "other"; return h }, at(3)},
		{"a changed entry with its hash recomputed", func(h []Entry) []Entry { h[2].Reason = "other"; reseal(&h[2]); return h }, at(4)},
		{"a turned verdict", func(h []Entry) []Entry { h[2].Accepted = true; return h }, at(3)},
		{"a turned verdict with its hash recomputed", func(h []Entry) []Entry { h[2].Accepted = true; reseal(&h[2]); return h }, at(4)},
		{"a changed hash", func(h []Entry) []Entry { h[3].Hash[0] ^= 1; return h }, at(4)},
		{"a changed reference", func(h []Entry) []Entry { h[3].Previous[31] ^= 1; reseal(&h[3]); return h }, at(4)},
		{"a changed first entry", func(h []Entry) []Entry { h[0].Kind = "other"; return h }, at(1)},
		{"a changed first entry with its hash recomputed", func(h []Entry) []Entry { h[0].Kind = "other"; reseal(&h[0]); return h }, at(2)},
		{"a changed last entry", func(h []Entry) []Entry { h[6].Caller = nil; return h }, at(7)},
		{"a dropped entry", func(h []Entry) []Entry { return slices.Delete(h, 2, 3) }, at(4)},
		{"a dropped entry, the rest renumbered and sealed again but for one", func(h []Entry) []Entry {
			h = slices.Delete(h, 2, 3)
			for i := 2; i < len(h); i++ {
				h[i].Cursor.Revision--
				reseal(&h[i])
			}
			return h
		}, at(3)},
		{"a repeated entry", func(h []Entry) []Entry { return slices.Insert(h, 3, h[2]) }, at(3)},
		{"a repeated first entry", func(h []Entry) []Entry { return slices.Insert(h, 1, h[0]) }, at(1)},
		{"swapped neighbours", func(h []Entry) []Entry { h[2], h[3] = h[3], h[2]; return h }, at(4)},
		{"a swapped first", func(h []Entry) []Entry { h[0], h[1] = h[1], h[0]; return h }, at(1)},
		{"an inserted entry", func(h []Entry) []Entry {
			put := h[2]
			put.Data, put.Cursor.Revision, put.Previous = json.RawMessage("1"), 4, h[2].Hash
			reseal(&put)
			return slices.Insert(h, 3, put)
		}, at(4)},
		{"a first entry that refers to one before", func(h []Entry) []Entry { h[0].Previous[0] = 1; reseal(&h[0]); return h }, at(1)},
		{"a first entry of another type", func(h []Entry) []Entry { h[0].Type = EntryUpdated; reseal(&h[0]); return h }, at(1)},
		{"a creation in the middle", func(h []Entry) []Entry { h[3].Type = EntryCreated; reseal(&h[3]); return h }, at(4)},
		{"a creation at the front of a part", func(h []Entry) []Entry {
			h[3].Type = EntryCreated
			reseal(&h[3])
			return h[3:]
		}, at(4)},
		{"an entry of another ShareData", func(h []Entry) []Entry { h[4] = foreign[4]; return h }, at(5)},
		{"another ShareData's entry, chained and sealed", func(h []Entry) []Entry {
			h[6] = foreign[6]
			h[6].Previous = h[5].Hash
			reseal(&h[6])
			return h
		}, at(7)},
		{"an entry of another epoch", func(h []Entry) []Entry { h[4] = otherEpoch[4]; return h }, replay.Cursor{Epoch: 8, Revision: 5}},
		{"another incarnation after the removal", func(h []Entry) []Entry { return append(h, otherEpoch...) }, replay.Cursor{Epoch: 8, Revision: 1}},
		{"an entry after the removal", func(h []Entry) []Entry {
			more := h[3]
			more.Cursor.Revision, more.Previous = 8, h[6].Hash
			reseal(&more)
			return append(h, more)
		}, at(8)},
		{"revision 0", func(h []Entry) []Entry { h[3].Cursor.Revision = 0; reseal(&h[3]); return h[3:] }, at(0)},
		{"epoch 0", func(h []Entry) []Entry { h[3].Cursor.Epoch = 0; reseal(&h[3]); return h[3:] }, replay.Cursor{Revision: 4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tampered := test.tamper(someHistory("n", 7))
			chain, err := Verify(sequence(tampered))
			var broken *ChainError
			if !errors.As(err, &broken) || !errors.Is(err, ErrChainBroken) {
				t.Fatalf("got %v, want a ChainError", err)
			}
			if broken.Cursor != test.want || !strings.Contains(err.Error(), test.want.String()+": "+broken.Problem) {
				t.Errorf("found at %s (%s), want %s", broken.Cursor, broken.Problem, test.want)
			}
			i := slices.IndexFunc(tampered, func(e Entry) bool { return e.Cursor == chain.Last })
			if !chain.Last.IsZero() && (i < 0 || chain.Hash != tampered[i].Hash) {
				t.Errorf("checked up to %s with hash %s, which is no entry", chain.Last, chain.Hash)
			}
		})
	}
}

// A history that was rewritten to its end, with all hashes, is only found out by
// a copy of its last hash.
func TestVerify_RewrittenHistory(t *testing.T) {
	history := someHistory("n", 7)
	before, err := Verify(sequence(history))
	if err != nil {
		t.Fatal(err)
	}
	history[2].Data = json.RawMessage("-99")
	reseal(&history[2])
	for i := 3; i < len(history); i++ {
		history[i].Previous = history[i-1].Hash
		reseal(&history[i])
	}
	after, err := Verify(sequence(history))
	if err != nil || after.Hash == before.Hash || after.Last != before.Last {
		t.Errorf("%+v, %v; before %+v", after, err, before)
	}
}

func TestVerify_SequenceError(t *testing.T) {
	history := someHistory("n", 7)
	chain, err := Verify(func(yield func(Entry, error) bool) {
		if yield(history[0], nil) && yield(Entry{}, errBroken) {
			t.Error("it goes on after an error")
		}
	})
	if err != errBroken || chain.Last != history[0].Cursor {
		t.Errorf("%+v, %v", chain, err)
	}
}

// A wrong effect is found although all hashes of entries were computed again.
func TestVerify_WrongEffect(t *testing.T) {
	state := json.RawMessage(`{"a":1,"text":"` + strings.Repeat("x", 200) + `"}`)
	set := NewPatchFunction("set", func(_ context.Context, _ Document, a int) (p Patch, err error) {
		p.Replace("/a", a)
		return p, nil
	})
	changes := []change{{kind: changeCreate, state: state}}
	for i := range 5 {
		changes = append(changes, change{kind: changePropose, binding: binding{function: set}, data: json.RawMessage(strconv.Itoa(i))})
	}
	history := entriesOf(decideAll(position{}, changes, 7, verdicts{}))
	for name, forge := range map[string]func(e *Entry){
		"another value":       func(e *Entry) { e.Patch = json.RawMessage(`[{"op":"replace","path":"/a","value":9}]`) },
		"a target not there":  func(e *Entry) { e.Patch = json.RawMessage(`[{"op":"remove","path":"/b"}]`) },
		"an empty patch":      func(e *Entry) { e.Patch = noChange },
		"another whole state": func(e *Entry) { e.Patch, e.NewState = nil, json.RawMessage(`{}`) },
		"the hash of a state": func(e *Entry) { e.StateHash[0]++ },
	} {
		forged := slices.Clone(history)
		forge(&forged[3])
		for i := 3; i < len(forged); i++ {
			forged[i].Previous = forged[i-1].Hash
			forged[i].Hash = forged[i].computeHash()
		}
		var broken *ChainError
		if _, err := Verify(sequence(forged)); !errors.As(err, &broken) || broken.Cursor != forged[3].Cursor {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Verify(sequence(forged[4:])); err != nil {
			t.Errorf("%s: no state is known after it, and yet %v", name, err)
		}
	}
	if _, err := Verify(sequence(history)); err != nil {
		t.Error(err)
	}
}

package sharedata

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

// keptAfter is a simple model of recentEntries.after: kept are the newest entries since
// the last restart or reset, which is at from.
func keptAfter(from replay.Cursor, kept []Entry, cursor replay.Cursor, limit int) ([]Entry, bool) {
	if cursor == from {
		return kept[:min(limit, len(kept))], true
	}
	for i, e := range kept {
		if e.Cursor == cursor {
			kept = kept[i+1:]
			return kept[:min(limit, len(kept))], true
		}
	}
	return nil, false
}

func TestRecent_Model(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		most := random.IntN(6)
		r := recentEntries{max: most}
		from := replay.Cursor{Epoch: 5, Revision: random.Uint64N(3) + 1}
		var kept []Entry
		r.restart(from)
		at := from
		for range 60 {
			var events []Event
			for range random.IntN(4) + 1 {
				e := Event{Entry: Entry{Cursor: at.Next(), Data: json.RawMessage(strings.Repeat("x", random.IntN(50)))}}
				if random.IntN(20) == 0 {
					e = Event{Entry: Entry{Cursor: replay.Cursor{Epoch: at.Epoch + random.Uint64N(2), Revision: at.Revision + random.Uint64N(5)}}, Reset: true}
					from, kept = e.Cursor, nil
				} else {
					kept = append(kept, e.Entry)
				}
				events, at = append(events, e), e.Cursor
			}
			r.add(events)
			if drop := len(kept) - most; drop > 0 {
				from, kept = kept[drop-1].Cursor, kept[drop:]
			}
			bytes := 0
			for _, e := range kept {
				bytes += len(e.Data)
			}
			if r.bytes != bytes {
				t.Fatalf("seed %d: %d bytes are counted, want %d", seed, r.bytes, bytes)
			}
			for range 5 {
				cursor := replay.Cursor{Epoch: at.Epoch - random.Uint64N(2), Revision: max(at.Revision+2, 9) - random.Uint64N(9)}
				limit := random.IntN(8)
				want, wantOK := keptAfter(from, kept, cursor, limit)
				got, ok := r.after(cursor, limit)
				if ok != wantOK || !slices.EqualFunc(got, want, func(a, b Entry) bool { return a.Cursor == b.Cursor }) {
					t.Fatalf("seed %d, after %s: got %d entries (%v), want %d (%v)", seed, cursor, len(got), ok, len(want), wantOK)
				}
			}
		}
		r.stop()
		if got, ok := r.after(at, 10); ok {
			t.Fatalf("after the end it returns %d entries", len(got))
		}
	}
}

func TestRecent_Bytes(t *testing.T) {
	r := recentEntries{max: 1000}
	at := replay.Cursor{Epoch: 1, Revision: 1}
	r.restart(at)
	large := json.RawMessage(strings.Repeat("x", recentBytes/4))
	for range 50 {
		at = at.Next()
		r.add([]Event{{Entry: Entry{Cursor: at, Data: large[:100], Proof: large[100:]}}})
		if len(r.entries) > 4 || cap(r.entries) > 16 {
			t.Fatalf("%d entries of a quarter of the bound are kept, in an array of %d", len(r.entries), cap(r.entries))
		}
	}
	if entries, ok := r.after(replay.Cursor{Epoch: 1, Revision: at.Revision - 4}, 10); !ok || len(entries) != 4 {
		t.Errorf("%d entries (%v), want 4", len(entries), ok)
	}
	r.add([]Event{{Entry: Entry{Cursor: at.Next(), Data: json.RawMessage(strings.Repeat("x", recentBytes+1))}}})
	if entries, ok := r.after(at.Next(), 10); !ok || len(entries) != 0 || r.bytes != 0 {
		t.Errorf("after one that is too large: %d entries (%v), %d bytes", len(entries), ok, r.bytes)
	}
}

// Entries that were returned are not changed by those that are added later.
func TestRecent_ReturnsCopy(t *testing.T) {
	r := recentEntries{max: 3}
	at := replay.Cursor{Epoch: 1, Revision: 1}
	r.restart(at)
	for range 3 {
		at = at.Next()
		r.add([]Event{{Entry: Entry{Cursor: at}}})
	}
	got, _ := r.after(replay.Cursor{Epoch: 1, Revision: 1}, 3)
	for range 3 {
		at = at.Next()
		r.add([]Event{{Entry: Entry{Cursor: at}}})
	}
	for i, e := range got {
		if e.Cursor.Revision != uint64(i)+2 {
			t.Errorf("entry %d is at %s now", i, e.Cursor)
		}
	}
}

package sharedata

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/jsonpatch"
	"github.com/safe-go/safe/replay"
)

// What effectOf accepts is exactly what is a valid state, although it validates the
// patch alone where there is one; and its effect leads to that state.
func FuzzEffect(f *testing.F) {
	long, large := strings.Repeat("x", 100), strings.Repeat("x", 5000)
	for _, texts := range [][2]string{
		{`{"a":1,"t":"` + long + `"}`, `{"a":2,"t":"` + long + `"}`},
		{`{"a":1,"t":"` + long + `"}`, `{"t":"` + long + `","a":2,"a":3}`},
		{`{"a":1,"t":"` + long + `"}`, `{"t":"` + long + `","a":1,"a":1}`},
		{`{"a":{"b":1},"t":"` + long + `"}`, `{"t":"` + long + `","a":{"b":1,"b":2}}`},
		{`{"a":[1,2],"t":"` + long + `"}`, ` {"t":"` + long + `","a":[1,{"c":1,"\u0063":2}]} `},
		{`{"t":"` + long + `"}`, `{"t":"` + long + `","a":"` + "\xff" + `"}`},
		{`{"t":"` + long + `"}`, `{"t":"` + long + `",}`},
		{`["` + long + `",1]`, `["` + long + `",01]`},
		{`["` + long + `"]`, `["` + long + `"` + strings.Repeat(",[", MaxDepth) + strings.Repeat("]", MaxDepth) + `]`},
		{`{"a":1,"t":"` + large + `"}`, `{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `,"t":"` + large + `"}`},
		{`{"a":1,"t":"` + large + `"}`, `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `,"t":"` + large + `"}`},
		{`null`, ``},
	} {
		f.Add(texts[0], texts[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		state := jsonpatch.Canonical([]byte(before))
		if validJSON(state) != nil {
			return
		}
		by, err := effectOf(state, json.RawMessage(after))
		if valid := validJSON(json.RawMessage(after)) == nil; (err == nil) != valid {
			t.Fatalf("%q -> %q: valid is %v, %v", before, after, valid, err)
		}
		if err != nil {
			return
		}
		next, err := stateAfter(json.RawMessage(state), &Entry{Type: EntryTransaction, Accepted: true, Patch: by.patch, NewState: whole(by)})
		if next == nil {
			next = state
		}
		if err != nil || validJSON(next) != nil || !isCanonical(next) || !reflect.DeepEqual(decodedJSON(t, next), decodedJSON(t, []byte(after))) {
			t.Fatalf("%q -> %q: %s, %v", before, after, next, err)
		}
	})
}

// whole is what the entry has as its NewState.
func whole(by effect) json.RawMessage {
	if by.patch != nil {
		return nil
	}
	return by.state
}

func decodedJSON(t *testing.T, text []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// A snapshot comes also where the records are small beside the state, before a load would
// have to compute too many states.
func TestBatch_SnapshotOfLargeState(t *testing.T) {
	state := json.RawMessage(`"` + strings.Repeat("x", 10_000) + `"`)
	at := position{exists: true, cursor: replay.Cursor{Epoch: 1, Revision: 9}, state: state}
	for before, want := range map[int64]bool{0: false, maxTailStates - 20_000: false, maxTailStates - 10_000: true} {
		at.tail.states = before
		d := &decision{id: "x", next: at}
		d.addEntry(&Entry{Type: EntryTransaction, Accepted: true}, "", effect{state: state, patch: noChange})
		b := d.batch(at)
		if (b.Snapshot != nil) != want || want != (d.next.tail == tail{}) {
			t.Errorf("after states of %d bytes: a snapshot of %d bytes, %+v", before, len(b.Snapshot), d.next.tail)
		}
	}
}

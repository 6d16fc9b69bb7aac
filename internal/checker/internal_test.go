package checker

import (
	"slices"
	"testing"

	"github.com/safe-go/safe/internal/wire"
)

func TestRecorder_Full(t *testing.T) {
	rec := NewRecorder()
	rec.limit = 3
	s := rec.Subscriber("s", "x")
	s.Subscribed("")
	s.Frame(&wire.State{ShareDataID: "x", CurrentState: []byte("1"), Cursor: "1-1"})
	s.Disconnected(0)
	if v := rec.Check(Options{}); len(v) > 0 {
		t.Fatal(v)
	}
	rec.Proposed(Proposal{ShareData: "x"}).Answered(Answer{})
	s.Disconnected(0)
	v := rec.Check(Options{})
	if len(v) != 1 || v[0].Promise != Recorded {
		t.Errorf("got %v", v)
	}
	if got := len(s.log.records); got != 3 {
		t.Errorf("%d records were kept, want 3", got)
	}
}

func TestSequence(t *testing.T) {
	r := sequence{last: 2}
	var got []placement
	for _, revision := range []uint64{3, 10, 6, 4, 9, 10, 6, 3, 11, 5} {
		got = append(got, r.add(revision))
	}
	want := []placement{inOrder, inOrder, late, late, late, repeated, repeated, repeated, inOrder, late}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if text := list(r.missing); text != "7 to 8" || r.last != 11 {
		t.Errorf("missing %s up to %d, want 7 to 8 up to 11", text, r.last)
	}
}

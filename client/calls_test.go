package client

import (
	"errors"
	"slices"
	"testing"
)

func TestCalls_OrderAndBounds(t *testing.T) {
	q := calls{maxWaiting: 3, maxInFlight: 2}
	made := make([]*call, 7)
	for i := range made {
		made[i] = newCall(string(rune('a'+i)), nil)
	}
	add := func(i int, connected bool, want error) {
		t.Helper()
		if err := q.add(made[i], connected); !errors.Is(err, want) {
			t.Fatalf("add %d: %v, want %v", i, err, want)
		}
	}
	send := func() (ids string) {
		for c := q.next(); c != nil; c = q.next() {
			ids += c.id
		}
		return ids
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %q, want %q", what, got, want)
		}
	}

	for i := range 3 {
		add(i, false, nil)
	}
	add(3, false, ErrQueueFull)
	want("sent when connected", send(), "ab")
	add(3, true, nil)
	add(4, true, nil)
	want("sent while two are in flight", send(), "")
	add(5, true, ErrQueueFull)

	if q.find("a") != made[0] || q.find("c") != nil {
		t.Fatal("find must find what is in flight, and only that")
	}
	if !q.remove(made[0]) || q.remove(made[0]) || !made[0].over {
		t.Fatal("a call is removed once")
	}
	want("sent after an answer", send(), "c")
	if !q.remove(made[3]) {
		t.Fatal("a waiting call cannot be taken back")
	}
	var left string
	for _, c := range q.drain() {
		left += c.id
		if !c.over {
			t.Errorf("%s is not over", c.id)
		}
	}
	want("left, oldest first", left, "bce")
	add(6, true, nil)
	want("sent after that", send(), "g")
}

func TestCalls_QueueOff(t *testing.T) {
	q := calls{maxWaiting: 0, maxInFlight: 1}
	first, second := newCall("a", nil), newCall("b", nil)
	if err := q.add(first, false); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("offline: %v, want ErrQueueFull", err)
	}
	if err := q.add(first, true); err != nil {
		t.Fatal(err)
	}
	if got := q.next(); got != first {
		t.Fatal("not sent")
	}
	if err := q.add(second, true); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("one in flight: %v, want ErrQueueFull", err)
	}
	if !slices.Equal(q.inFlight, []*call{first}) {
		t.Fatal("in flight changed")
	}
}

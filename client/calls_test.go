package client

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

func TestCalls_OrderAndBounds(t *testing.T) {
	q := calls{maxWaiting: 3, maxInFlight: 2}
	made := make([]*call, 7)
	for i := range made {
		made[i] = newCall(string(rune('a'+i)), nil, nil)
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

	conn, other := &connection{}, &connection{}
	made[0].sentOn = conn
	if q.find("a", conn) != made[0] || q.find("a", other) != nil || q.find("b", conn) != nil || q.find("c", conn) != nil {
		t.Fatal("find must find what was sent on the connection, and only that")
	}
	if !q.complete(made[0], outcome{}) || q.complete(made[0], outcome{}) {
		t.Fatal("a call is removed once")
	}
	want("sent after an answer", send(), "c")
	if !q.remove(made[3]) {
		t.Fatal("a waiting call cannot be taken back")
	}
	var left string
	for _, c := range q.all() {
		left += c.id
		if !q.complete(c, outcome{}) {
			t.Errorf("%s is not completed", c.id)
		}
	}
	want("left, oldest first", left, "bce")
	add(6, true, nil)
	want("sent after that", send(), "g")
}

func TestCalls_QueueOff(t *testing.T) {
	q := calls{maxWaiting: 0, maxInFlight: 1}
	first, second := newCall("a", nil, nil), newCall("b", nil, nil)
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

// However calls are refused, retried and completed, there are never more than the
// two bounds together, and each is in one list.
func TestCalls_TotalBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	q := calls{maxWaiting: 5, maxInFlight: 3}
	conn := &connection{}
	refused := 0
	for i := range 20000 {
		c := newCall(fmt.Sprint(i), nil, &wire.Propose{})
		connected := random.IntN(4) > 0
		if err := q.add(c, connected); err != nil {
			if !errors.Is(err, ErrQueueFull) || len(q.all()) < q.maxWaiting {
				t.Fatalf("refused with %d calls: %v", len(q.all()), err)
			}
			refused++
		}
		for next := q.next(); connected && next != nil; next = q.next() {
			next.sentOn = conn
		}
		if n := len(q.inFlight); n > 0 && random.IntN(2) == 0 {
			q.reply(q.inFlight[random.IntN(n)], &wire.ProposalResult{Code: codes.Busy})
		}
		if n := len(q.retrying); n > 0 && random.IntN(3) == 0 {
			due := q.retrying[random.IntN(n)]
			<-due.outcomes
			q.retry(due)
		}
		if all := q.all(); len(all) > 0 && random.IntN(3) == 0 {
			q.complete(all[random.IntN(len(all))], outcome{})
		}
		all := q.all()
		distinct := make(map[*call]bool)
		for _, c := range all {
			distinct[c] = true
		}
		if len(all) > q.maxWaiting+q.maxInFlight || len(distinct) != len(all) || len(q.inFlight) > q.maxInFlight {
			t.Fatalf("step %d: %d in flight, %d wait, %d retry", i, len(q.inFlight), len(q.waiting), len(q.retrying))
		}
	}
	if refused == 0 {
		t.Error("the bound was never reached")
	}
}

func TestCalls_HugeBounds(t *testing.T) {
	q := calls{maxWaiting: math.MaxInt, maxInFlight: math.MaxInt}
	if err := q.add(newCall("a", nil, nil), false); err != nil {
		t.Error(err)
	}
}

package checker_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

func stateFrame(cursor string, state json.RawMessage) *wire.State {
	return &wire.State{ShareDataID: "x", CurrentState: state, Cursor: cursor, HasReplaying: true}
}

// The steps are recorded before and after the store loses its data.
func TestLosing_Streams(t *testing.T) {
	var kept []checker.Promise
	just := func(p ...checker.Promise) []checker.Promise { return p }
	for _, test := range []struct {
		name    string
		before  string
		after   string
		through uint64 // the newest epoch that may be lost
		soFar   uint64 // how many entries of epoch 1 are read before the loss
		want    []checker.Promise
	}{
		{"an epoch", "subscribe; state 1-3; 1-4; lost", "subscribe; state 3-1; lost", 2, 0, kept},
		{"an epoch that was begun later", "subscribe; state 1-3; 1-4; lost", "subscribe; state 3-1; lost", 3, 0, kept},
		{"not one that was begun later still", "", "subscribe; state 3-1; lost; subscribe; state 4-1; lost", 2, 0, just(checker.CommittedBeforeSeen)},
		{"what came after it was read", "subscribe; last 1-3; 1-4; 1-5; lost", "", 2, 3, kept},
		{"not what was read", "subscribe; last 1-3; 1-4; lost; subscribe; state 1-3", "", 2, 3, just(checker.CommittedBeforeSeen)},
		{"a history that did not continue", "subscribe; state 1-3; 1-4", "state 3-1; notfound; 3-2", 1, 0, kept},
		{"a history that did not continue, without a report", "subscribe; state 1-3; 1-4", "3-2", 1, 0, just(checker.Ordered)},
		{"a history that is merged with what came after", "subscribe; state 1-3; 1-4; lost", "subscribe 1-3; state 1-4; lost; subscribe; other 1-4; lost", 1, 0, just(checker.OneWinner)},
		{"a replay that is not possible any more", "subscribe; state 1-3; lost", "subscribe 1-3; state 1-9; notfound", 1, 0, kept},
		{"a replay that is not possible, before", "subscribe; state 1-3; lost; subscribe 1-3; state 1-9; notfound; lost", "", 1, 0, just(checker.Resumable)},
		{"a replay that is not possible, of a later epoch", "subscribe; state 2-3; lost", "subscribe 2-3; state 2-9; notfound", 1, 0, just(checker.Resumable, checker.CommittedBeforeSeen)},
		{"a part is replayed as the whole", "subscribe; state 1-3; lost", "subscribe 1-3; state 1-6 2; ~1-4; ~1-5; 1-7", 1, 0, just(checker.Gapless, checker.Resumable)},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			s := rec.Subscriber("s", "x")
			say := func(steps string) {
				for text := range strings.SplitSeq(steps, ";") {
					if cursor, other := strings.CutPrefix(strings.TrimSpace(text), "other "); other {
						s.Frame(stateFrame(cursor, json.RawMessage("7")))
					} else if text != "" {
						subscriberSteps(s, text)
					}
				}
			}
			say(test.before)
			if test.soFar > 0 {
				rec.PartialHistory(history(1, int(test.soFar), unchanged))
			}
			lost := rec.Losing("x")
			lost(test.through)
			say(test.after)
			rec.History(history(3, 5, unchanged))
			v := rec.Check(checker.Options{Durable: true})
			if got := broken(v); !slices.Equal(got, test.want) {
				t.Errorf("%s; %s\nbroken: %q, want %q\n%v", test.before, test.after, got, test.want, v)
			}
		})
	}
}

// A subscriber may be told of a gap, or replayed nothing, where the ShareData was being
// removed; not where one was removed that had the id before.
func TestRemoving_Streams(t *testing.T) {
	for _, test := range []struct {
		through uint64
		want    []checker.Promise
	}{{1, nil}, {0, []checker.Promise{checker.Resumable}}} {
		rec := checker.NewRecorder()
		s, c := rec.Subscriber("s", "x"), rec.Client("c", "x")
		subscriberSteps(s, "subscribe; state 1-3; lost")
		clientSteps(c, "state 1-3")
		rec.Removing("x")(test.through)
		subscriberSteps(s, "subscribe 1-3; state 1-9; notfound")
		clientSteps(c, "gap; state 1-9")
		v := rec.Check(checker.Options{})
		if got := broken(v); !slices.Equal(got, test.want) || len(v) != 2*len(test.want) {
			t.Errorf("through %d: broken: %q, want %q\n%v", test.through, got, test.want, v)
		}
	}
}

func TestLosing_UnderWay(t *testing.T) {
	rec := checker.NewRecorder()
	lost := rec.Losing("x")
	subscriberSteps(rec.Subscriber("s", "x"), "subscribe; state 9-3; lost")
	if v := rec.Check(checker.Options{Durable: true}); len(v) > 0 {
		t.Error(v)
	}
	lost(8)
	if v := rec.Check(checker.Options{Durable: true}); len(v) != 1 {
		t.Errorf("got %v", v)
	}
}

func TestPartialHistory(t *testing.T) {
	for _, test := range []struct {
		name    string
		steps   string
		removed bool
		final   bool // read again, to its end
		want    []checker.Promise
	}{
		{"what came after it was read", "subscribe; last 1-2; 1-3; 1-4; 1-5; removed 1-6", true, false, nil},
		{"it is read again", "subscribe; last 1-2; 1-3; 1-4; 1-5", false, true, nil},
		{"it is read again, and is shorter", "subscribe; last 1-2; 1-3; 1-4; 1-5; 1-6", false, true, []checker.Promise{checker.CommittedBeforeSeen}},
		{"it is never read again, and was not removed", "subscribe; last 1-2; 1-3; lost", false, false, []checker.Promise{checker.CommittedBeforeSeen}},
		{"another one was read", "subscribe; last 1-2; !1-3; lost", true, false, []checker.Promise{checker.CommittedBeforeSeen}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			rec.PartialHistory(history(1, 3, unchanged))
			if test.removed {
				rec.Removing("x")
			}
			subscriberSteps(rec.Subscriber("s", "x"), test.steps)
			if test.final {
				rec.History(history(1, 5, unchanged))
			}
			v := rec.Check(checker.Options{Durable: true})
			if got := broken(v); !slices.Equal(got, test.want) {
				t.Errorf("broken: %q, want %q\n%v", got, test.want, v)
			}
		})
	}
}

// Steps between # are recorded while the store is unreachable.
func TestStoreUnreachable(t *testing.T) {
	var kept []checker.Promise
	just := func(p ...checker.Promise) []checker.Promise { return p }
	for _, test := range []struct {
		name, steps string
		want        []checker.Promise
	}{
		{"not resumed", "#subscribe 1-3; state 1-9; notfound#; 1-10", kept},
		{"resumed all the same", "#subscribe 1-3; state 1-5 2; ~1-4; ~1-5#; 1-6", kept},
		{"not resumed, without a report", "#subscribe 1-3; state 1-9; 1-10#", just(checker.Resumable)},
		{"resumed in part", "#subscribe 1-3; state 1-6 3; ~1-4; 1-7#", just(checker.Gapless)},
		{"not resumed, before", "subscribe 1-3; state 1-9; notfound; #1-10#", just(checker.Resumable)},
		{"not resumed, after", "#subscribe; state 1-3#; lost; subscribe 1-3; state 1-9; notfound", just(checker.Resumable)},
		{"not resumed, and answered later", "#subscribe 1-3#; state 1-9; notfound", kept},
		{"not resumed, and asked before", "subscribe 1-3; #state 1-9; notfound#", kept},
		{"a replay that breaks off", "subscribe 1-3; state 1-6 3; ~1-4; #state 1-7; notfound#; 1-8", kept},
		{"a replay that breaks off, before", "#subscribe 1-3; state 1-6 3#; ~1-4; ~1-5; state 1-7; notfound; 1-8", just(checker.Resumable)},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			s := rec.Subscriber("s", "x")
			for i, part := range strings.Split(test.steps, "#") {
				back := func() {}
				if i%2 == 1 {
					back = rec.StoreUnreachable()
				}
				if part = strings.Trim(part, "; "); part != "" {
					subscriberSteps(s, part)
				}
				back()
			}
			if v := rec.Check(checker.Options{}); !slices.Equal(broken(v), test.want) {
				t.Errorf("%s\nbroken: %q, want %q\n%v", test.steps, broken(v), test.want, v)
			}
		})
	}
}

func TestStoreUnreachable_Gap(t *testing.T) {
	for when, bad := range map[int]bool{0: true, 1: false, 2: false, 3: false, 4: true} {
		rec := checker.NewRecorder()
		u := rec.Client("u", "x")
		for i, step := range []func(){
			func() { u.State(stateFrame("1-3", stateAt("1-3")), false) },
			func() { u.Frame(transaction("1-4")) }, // may be delivered before the end
			func() { u.Gap() },
			func() { u.State(stateFrame("1-9", stateAt("1-9")), false) },
			func() { u.Closed() },
		} {
			back := func() {}
			if i == when {
				back = rec.StoreUnreachable()
			}
			step()
			back()
		}
		if v := rec.Check(checker.Options{}); (len(v) == 1) != bad {
			t.Errorf("unreachable at step %d: %v", when, v)
		}
	}
}

func TestPartialHistory_Hole(t *testing.T) {
	rec := checker.NewRecorder()
	rec.PartialHistory(slices.Delete(history(1, 4, unchanged), 2, 3))
	subscriberSteps(rec.Subscriber("s", "x"), "subscribe; last 1-2; 1-3; 1-4; 1-5")
	if v := rec.Check(checker.Options{}); len(v.Of(checker.CommittedBeforeSeen)) != 1 {
		t.Errorf("got %v", v)
	}
}

func TestServer_StateOlder(t *testing.T) {
	for _, test := range []struct {
		name          string
		first, second string
		states        [2]string
		bad           bool
	}{
		{"one server goes on", "a", "a", [2]string{"1-3", "1-4"}, false},
		{"one server stays", "a", "a", [2]string{"1-3", "1-3"}, false},
		{"one server goes back", "a", "a", [2]string{"1-4", "1-3"}, true},
		{"another server lags behind", "a", "b", [2]string{"1-4", "1-3"}, false},
		{"it is not known which server it was", "", "", [2]string{"1-4", "1-3"}, false},
		{"one server goes back to an older epoch", "a", "a", [2]string{"2-1", "1-3"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			for i, server := range []string{test.first, test.second} {
				c := rec.ConnectionTo(server, "c")
				c.Sent(&wire.Subscribe{ShareDataID: "x"})
				c.Received(stateFrame(test.states[i], stateAt(test.states[i])))
				c.Closed(0)
			}
			if v := rec.Check(checker.Options{}); (len(v.Of(checker.OneWinner)) == 1) != test.bad || len(v) > 1 {
				t.Errorf("got %v", v)
			}
		})
	}
}

func TestServer_UnsolicitedState(t *testing.T) {
	for answer, bad := range map[string]bool{"2-5": false, "2-4": true} {
		rec := checker.NewRecorder()
		c := rec.ConnectionTo("a", "c")
		c.Sent(&wire.Subscribe{ShareDataID: "x"})
		c.Received(stateFrame("1-3", stateAt("1-3")))
		other := rec.ConnectionTo("a", "d")
		other.Sent(&wire.Subscribe{ShareDataID: "x"})
		other.Received(stateFrame("2-5", stateAt("2-5")))
		other.Closed(0)
		c.Sent(&wire.Subscribe{ShareDataID: "x"})
		c.Received(stateFrame("2-1", stateAt("2-1"))) // the history did not continue
		c.Received(&wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: "x"})
		c.Received(stateFrame(answer, stateAt(answer)))
		if v := rec.Check(checker.Options{}); (len(v.Of(checker.OneWinner)) == 1) != bad || len(v) > 1 {
			t.Errorf("answered with %s: %v", answer, v)
		}
	}
}

func TestServer_ResultThenState(t *testing.T) {
	for server, bad := range map[string]bool{"a": true, "b": false} {
		rec := checker.NewRecorder()
		c := rec.ConnectionTo("a", "c")
		c.Sent(propose("1"))
		c.Received(answer("1", replay.Cursor{Epoch: 1, Revision: 5}.String()))
		d := rec.ConnectionTo(server, "d")
		d.Sent(&wire.Subscribe{ShareDataID: "x"})
		d.Received(stateFrame("1-4", stateAt("1-4")))
		if v := rec.Check(checker.Options{}); (len(v) == 1) != bad {
			t.Errorf("verdict of a, state of %s: %v", server, v)
		}
	}
}

// A store with a short retention drops entries between two readings of its history.
func TestPartialHistory_Dropped(t *testing.T) {
	rec := checker.NewRecorder()
	all := history(1, 20, unchanged)
	rec.PartialHistory(all[4:8])
	rec.History(all[15:])
	s := rec.Subscriber("s", "x")
	subscriberSteps(s, "subscribe; last 1-10; 1-11; lost")
	if v := rec.Check(checker.Options{}); len(v) > 0 {
		t.Error(v)
	}
	subscriberSteps(s, "subscribe; last 1-21; lost")
	if v := rec.Check(checker.Options{}).Of(checker.CommittedBeforeSeen); len(v) == 0 {
		t.Error("an entry after the end of the history is not found")
	}
}

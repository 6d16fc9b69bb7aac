package client

import (
	"fmt"
	"slices"
	"testing"

	"github.com/safe-go/safe/internal/wire"
)

// Inputs of a catchUp besides frames.
type (
	subscribeFrom position
	notFound      string
	barrierPong   struct{}
)

func from(revision int) subscribeFrom {
	return subscribeFrom{known: true, cursor: numbered(revision), revision: uint64(revision)}
}

func fromID(id string) subscribeFrom { return subscribeFrom{known: true, cursor: id} }

func TestCatchUp(t *testing.T) {
	fresh := subscribeFrom{}
	tests := []struct {
		name  string
		given []any
		// want has one line per event, "-> cursor" where that moves the
		// position, and one per other request of the catchUp.
		want []string
	}{
		{"first subscribe", []any{fresh, snapshot("e", 5, 0), transaction(6), updated(7, false)},
			[]string{"state e-5 -> e-5", "tx e-6 -> e-6", "updated e-7 -> e-7"}},
		{"nothing missed", []any{from(5), snapshot("e", 5, 0), transaction(6)},
			[]string{"state e-5 resumed", "tx e-6 -> e-6"}},
		{"two missed, one of them a wholesale update", []any{from(5), snapshot("e", 7, 2), replayed(6), updated(7, true), transaction(8)},
			[]string{"state e-7 resumed +2", "tx e-6 replayed -> e-6", "updated e-7 replayed -> e-7", "tx e-8 -> e-8"}},
		{"the position moves to the snapshot with the last replayed frame", []any{from(5), snapshot("e", 9, 1), replayed(6)},
			[]string{"state e-9 resumed +1", "tx e-6 replayed -> e-9"}},
		{"other epoch", []any{from(5), snapshot("f", 3, 0), notFound("lost"), &wire.Transaction{TransactionID: "f-4", Revision: 4}},
			[]string{"gap after e-5 -> ", "state f-3 -> f-3", "tx f-4 -> f-4"}},
		{"other epoch, same revision", []any{from(5), snapshot("f", 5, 0), notFound("lost")},
			[]string{"gap after e-5 -> ", "state f-5 -> f-5"}},
		{"cursor too old", []any{from(5), snapshot("e", 500, 0), notFound("lost"), transaction(501)},
			[]string{"gap after e-5 -> ", "state e-500 -> e-500", "tx e-501 -> e-501"}},
		{"cursor kept from an earlier process", []any{fromID("e-5"), snapshot("e", 7, 2), replayed(6), replayed(7), transaction(8)},
			[]string{"state e-7 resumed +2", "tx e-6 replayed -> e-6", "tx e-7 replayed -> e-7", "tx e-8 -> e-8"}},
		{"a frame that was delivered before is not delivered again", []any{from(6), snapshot("e", 7, 2), replayed(6), replayed(7), replayed(7), transaction(7), transaction(8)},
			[]string{"state e-7 resumed +2", "tx e-7 replayed -> e-7", "tx e-8 -> e-8"}},
		{"a live frame is missing", []any{fresh, snapshot("e", 5, 0), transaction(6), transaction(8)},
			[]string{"state e-5 -> e-5", "tx e-6 -> e-6", "gap after e-6 -> ", "resubscribe"}},
		{"a replayed frame is missing", []any{from(5), snapshot("e", 8, 3), replayed(6), replayed(8)},
			[]string{"state e-8 resumed +3", "tx e-6 replayed -> e-6", "gap after e-6 -> ", "resubscribe"}},
		{"fewer frames were replayed than announced", []any{from(5), snapshot("e", 8, 3), replayed(6), transaction(9)},
			[]string{"state e-8 resumed +3", "tx e-6 replayed -> e-6", "gap after e-6 -> ", "resubscribe"}},
		{"after a gap whose snapshot did not arrive", []any{fresh, snapshot("e", 9, 0)},
			[]string{"state e-9 -> e-9"}},
		{"removed", []any{fresh, snapshot("e", 5, 0), removed(6), transaction(7)},
			[]string{"state e-5 -> e-5", "removed 6 -> ", "end"}},
		{"frames before the state are stale", []any{from(5), transaction(9), removed(10), snapshot("e", 5, 0)},
			[]string{"state e-5 resumed"}},
		{"a second state is not asked for", []any{fresh, snapshot("e", 5, 0), snapshot("e", 6, 0), transaction(6)},
			[]string{"state e-5 -> e-5", "gap after e-5 -> ", "state e-6 -> e-6"}},
		{"the server gives a replay up and begins again", []any{from(5), snapshot("e", 9, 4), replayed(6), snapshot("e", 9, 0), notFound("broke off"), transaction(10)},
			[]string{"state e-9 resumed +4", "tx e-6 replayed -> e-6", "gap after e-6 -> ", "state e-9 -> e-9", "tx e-10 -> e-10"}},
		{"the server gives a replay up and says so first", []any{from(5), snapshot("e", 9, 4), replayed(6), notFound("broke off"), snapshot("e", 9, 0), transaction(10)},
			[]string{"state e-9 resumed +4", "tx e-6 replayed -> e-6", "gap after e-6 -> ", "state e-9 -> e-9", "tx e-10 -> e-10"}},
		{"the server gives a replay up and goes on", []any{from(5), snapshot("e", 9, 4), replayed(6), notFound("broke off"), replayed(7), transaction(10)},
			[]string{"state e-9 resumed +4", "tx e-6 replayed -> e-6", "gap after e-6 -> ", "resubscribe"}},
		{"removed in the middle of a replay", []any{from(5), snapshot("e", 9, 4), replayed(6), notFound("broke off"), removed(10)},
			[]string{"state e-9 resumed +4", "tx e-6 replayed -> e-6", "gap after e-6 -> ", "removed 10", "end"}},
		{"published: the server begins again", []any{fromID("t5"), plainState("t7"), plain("t8"), plainState("t8")},
			[]string{"barrier", "gap after t5 -> ", "resubscribe"}},

		{"published: first subscribe", []any{fresh, plainState("t5"), plain("t6"), plainUpdated()},
			[]string{"state t5 -> t5", "tx t6 -> t6", "updated"}},
		{"published: nothing missed", []any{fromID("t5"), plainState("t5"), plain("t6")},
			[]string{"state t5 resumed", "tx t6 -> t6"}},
		{"published: nothing missed, though the window has lost the cursor", []any{fromID("t5"), plainState("t5"), notFound("since=t5 not present"), plain("t6")},
			[]string{"state t5 resumed", "tx t6 -> t6"}},
		{"published: nothing has ever happened", []any{subscribeFrom{known: true}, plainState(""), plain("t1")},
			[]string{"state  resumed", "tx t1 -> t1"}},
		{"published: no cursor to resume from", []any{subscribeFrom{known: true}, plainState("t3"), plain("t4")},
			[]string{"gap after ", "state t3 -> t3", "tx t4 -> t4"}},
		{"published: replayed", []any{fromID("t5"), plainState("t7"), plainReplayed("t6"), plainReplayed("t7"), plain("t8"), barrierPong{}},
			[]string{"barrier", "state t7 resumed", "tx t6 replayed -> t6", "tx t7 replayed -> t7", "tx t8 -> t8"}},
		{"published: live frames overtake the replay", []any{fromID("t5"), plainState("t7"), plain("t8"), plainReplayed("t6"), plain("t9"), plainReplayed("t7"), barrierPong{}},
			[]string{"barrier", "state t7 resumed", "tx t6 replayed -> t6", "tx t7 replayed -> t7", "tx t8 -> t8", "tx t9 -> t9"}},
		{"published: two that overtook the replay are in it, too", []any{fromID("t5"), plainState("t6"), plain("t7"), plain("t8"), plain("t9"), plainReplayed("t6"), plainReplayed("t7"), plainReplayed("t8"), barrierPong{}},
			[]string{"barrier", "state t6 resumed", "tx t6 replayed -> t6", "tx t7 replayed -> t7", "tx t8 replayed -> t8", "tx t9 -> t9"}},
		{"published: what overtook the replay is in it, too", []any{fromID("t5"), plainState("t6"), plain("t7"), plainReplayed("t6"), plain("t8"), barrierPong{}},
			[]string{"barrier", "state t6 resumed", "tx t6 replayed -> t6", "tx t7 -> t7", "tx t8 -> t8"}},
		{"published: replay that does not reach the newest id", []any{fromID("t5"), plainState("t9"), plainReplayed("t6"), plain("t10"), plainReplayed("t10"), barrierPong{}, plain("t11")},
			[]string{"barrier", "state t9 resumed", "tx t6 replayed -> t6", "tx t10 replayed -> t10", "tx t11 -> t11"}},
		{"published: nothing to replay", []any{fromID("t5"), plainState("t7"), plain("t8"), barrierPong{}},
			[]string{"barrier", "state t7 resumed", "tx t8 -> t8"}},
		{"published: cursor not found", []any{fromID("t5"), plainState("t7"), notFound("lost"), barrierPong{}, plain("t8")},
			[]string{"barrier", "gap after t5 -> ", "state t7 -> t7", "tx t8 -> t8"}},
		{"published: cursor not found, after a live frame", []any{fromID("t5"), plainState("t7"), plain("t8"), notFound("lost")},
			[]string{"barrier", "gap after t5 -> ", "state t7 -> t7", "tx t8 -> t8"}},
		{"published: cursor not found, after the barrier", []any{fromID("t5"), plainState("t7"), barrierPong{}, plain("t8"), notFound("lost"), plain("t9")},
			[]string{"barrier", "state t7 resumed", "tx t8 -> t8", "gap after t8 -> ", "resubscribe"}},
		{"published: replay after the barrier, in time", []any{fromID("t5"), plainState("t7"), barrierPong{}, plainReplayed("t6"), plainReplayed("t7"), plain("t8")},
			[]string{"barrier", "state t7 resumed", "tx t6 replayed -> t6", "tx t7 replayed -> t7", "tx t8 -> t8"}},
		{"published: replay after the barrier, too late", []any{fromID("t5"), plainState("t7"), barrierPong{}, plain("t8"), plainReplayed("t6")},
			[]string{"barrier", "state t7 resumed", "tx t8 -> t8", "gap after t8 -> ", "resubscribe"}},
		{"published: removed while undecided", []any{fromID("t5"), plainState("t7"), plain("t8"), plainRemoved()},
			[]string{"barrier", "state t7 resumed", "tx t8 -> t8", "removed -> ", "end"}},
		{"published: one id twice", []any{fresh, plainState("t5"), plain("t6"), plain("t6")},
			[]string{"state t5 -> t5", "tx t6 -> t6"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := runCatchUp(t, &catchUp{shareDataID: "x"}, test.given, func(it item) string { return describe(it.event) })
			if !slices.Equal(got, test.want) {
				t.Errorf("\n got %q\nwant %q", got, test.want)
			}
		})
	}
}

// runCatchUp returns what TestCatchUp wants of a catchUp.
func runCatchUp(t *testing.T, u *catchUp, inputs []any, describe func(item) string) (got []string) {
	t.Helper()
	at := ""
	for _, given := range inputs {
		var s step
		switch given := given.(type) {
		case subscribeFrom:
			at = given.cursor
			if since := u.begin(position(given)); since != given.cursor {
				t.Errorf("since %q, want %q", since, given.cursor)
			}
		case notFound:
			s = u.cursorNotFound(string(given))
		case barrierPong:
			s = u.barrierPassed()
		case wire.ServerMessage:
			s = u.receive(given)
		}
		for _, it := range s.items {
			line := describe(it)
			if it.after.cursor != at {
				at = it.after.cursor
				line += " -> " + at
			}
			got = append(got, line)
		}
		for _, request := range []struct {
			name string
			is   bool
		}{{"barrier", s.barrier}, {"resubscribe", s.resubscribe}, {"later", s.later}, {"end", s.removed}} {
			if request.is {
				got = append(got, request.name)
			}
		}
	}
	return got
}

func TestCatchUp_HeldBounded(t *testing.T) {
	u := catchUp{shareDataID: "x"}
	u.begin(position{known: true, cursor: "t5"})
	u.receive(plainState("t7"))
	var events int
	for i := range 10 * maxHeld {
		events += len(u.receive(plain(fmt.Sprint("n", i))).items)
		if len(u.held) > maxHeld {
			t.Fatalf("%d frames held", len(u.held))
		}
	}
	if want := 10*maxHeld + 1; events != want {
		t.Errorf("%d events, want %d", events, want)
	}
}

// A catchUp must survive any sequence of frames, and what it hands out must
// never skip or repeat a revision without a Gap.
func FuzzCatchUp(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{0x10, 0x25, 0x46, 0x47, 0x38, 0x60, 0x70})
	f.Fuzz(func(t *testing.T, script []byte) {
		u := catchUp{shareDataID: "x"}
		var at position // as the user knows it
		for _, b := range script {
			revision := int(b & 0xf)
			var s step
			switch b >> 4 {
			case 0:
				u.begin(at)
			case 1:
				s = u.receive(snapshot("e", revision, 0))
			case 2:
				s = u.receive(snapshot("e", revision, 3))
			case 3:
				s = u.receive(transaction(revision))
			case 4:
				s = u.receive(replayed(revision))
			case 5:
				s = u.receive(updated(revision, revision%2 == 0))
			case 6:
				s = u.cursorNotFound("lost")
			case 7:
				s = u.barrierPassed()
			case 8:
				s = u.receive(removed(revision))
			case 9:
				u.stop()
			}
			for _, it := range s.items {
				switch e := it.event.(type) {
				case *State:
					if at.known && !e.Resumed {
						t.Fatalf("%x: a snapshot without a gap", script)
					}
				case *Gap:
					if !at.known {
						t.Fatalf("%x: a gap after nothing", script)
					}
				case *Transaction:
					if at.revision != 0 && e.Revision != 0 && e.Revision != at.revision+1 {
						t.Fatalf("%x: revision %d after %d", script, e.Revision, at.revision)
					}
				}
				at = it.after
			}
			if s.resubscribe {
				u.begin(at)
			}
		}
	})
}

package client

import (
	"slices"
	"testing"

	"github.com/safe-go/safe/internal/wire"
)

// fromState is from for a subscriber who has the state, of a transaction.
func fromState(revision int) subscribeFrom {
	at := from(revision)
	at.state, at.lastTransactionID = wholeState(numberState(revision), ""), at.cursor
	return at
}

// describeState adds the state that the event carries to describe.
func describeState(it item) string {
	line := describe(it.event)
	if it.state == nil {
		return line
	}
	text, err := it.state.resolve()
	if err != nil {
		return line + " rejected"
	}
	return line + " " + string(text)
}

func TestCatchUp_Patches(t *testing.T) {
	fresh := subscribeFrom{}
	cursorOnly := subscribeFrom{known: true, cursor: "e-5"}
	unasked := patch(6)
	hashless := resumedSnapshot(7, 2)
	hashless.StateHash = ""
	tests := []struct {
		name  string
		given []any
		want  []string
	}{
		{"live", []any{fresh, wholeSnapshot(5, 0), patch(6), rejection(7, false), whole(8, false), patch(9)},
			[]string{`state e-5 {"n":5} -> e-5`, `tx e-6 {"n":6} -> e-6`, `tx e-7 {"n":6} -> e-7`, `updated e-8 {"n":8} -> e-8`, `tx e-9 {"n":9} -> e-9`}},
		{"resumed", []any{fromState(5), resumedSnapshot(8, 3), patchReplayed(6), rejection(7, true), patchReplayed(8), patch(9)},
			[]string{`state e-5 resumed +3 {"n":5}`, `tx e-6 replayed {"n":6} -> e-6`, `tx e-7 replayed {"n":6} -> e-7`, `tx e-8 replayed {"n":8} -> e-8`, `tx e-9 {"n":9} -> e-9`}},
		{"resumed over a wholesale update", []any{fromState(5), resumedSnapshot(7, 2), whole(6, true), patchReplayed(7)},
			[]string{`state e-5 resumed +2 {"n":5}`, `updated e-6 replayed {"n":6} -> e-6`, `tx e-7 replayed {"n":7} -> e-7`}},
		{"nothing missed", []any{fromState(5), resumedSnapshot(5, 0), patch(6)},
			[]string{`state e-5 resumed {"n":5}`, `tx e-6 {"n":6} -> e-6`}},
		{"nothing missed, the state of another cursor", []any{subscribeFrom{known: true, cursor: "e-5", state: wholeState(numberState(4), "")}, resumedSnapshot(5, 0)},
			[]string{`state e-5 resumed rejected`}},
		{"only a cursor", []any{cursorOnly, includedSnapshot(7, 2), patchReplayed(6), patchReplayed(7), patch(8)},
			[]string{`state e-7 resumed +2 {"n":7}`, `tx e-6 replayed -> e-6`, `tx e-7 replayed {"n":7} -> e-7`, `tx e-8 {"n":8} -> e-8`}},
		{"only a cursor, and a whole state on the way", []any{cursorOnly, includedSnapshot(8, 3), whole(6, true), patchReplayed(7), patchReplayed(8)},
			[]string{`state e-8 resumed +3 {"n":8}`, `updated e-6 replayed {"n":6} -> e-6`, `tx e-7 replayed {"n":7} -> e-7`, `tx e-8 replayed {"n":8} -> e-8`}},
		{"the server has not recorded what changed", []any{fromState(5), includedSnapshot(8, 3), rejection(6, true), replayed(7), replayed(8), patch(9)},
			[]string{`state e-8 resumed +3 {"n":8}`, `tx e-6 replayed {"n":5} -> e-6`, `tx e-7 replayed -> e-7`, `tx e-8 replayed {"n":8} -> e-8`, `tx e-9 {"n":9} -> e-9`}},
		{"an accepted transaction changed nothing", []any{fromState(5), resumedSnapshot(7, 2), replayed(6), patchReplayed(7)},
			[]string{`state e-5 resumed +2 {"n":5}`, `tx e-6 replayed {"n":5} -> e-6`, `tx e-7 replayed {"n":7} -> e-7`}},
		{"a wrong hash", []any{fresh, wholeSnapshot(5, 0), withHash(patch(6), 6), withHash(patch(7), 6), patch(8)},
			[]string{`state e-5 {"n":5} -> e-5`, `tx e-6 {"n":6} -> e-6`, `tx e-7 rejected -> e-7`, `tx e-8 rejected -> e-8`}},
		{"a wrong hash of nothing changed", []any{fresh, wholeSnapshot(5, 0), withHash(rejection(6, false), 6)},
			[]string{`state e-5 {"n":5} -> e-5`, `tx e-6 rejected -> e-6`}},
		{"a whole state after a wrong hash", []any{fresh, wholeSnapshot(5, 0), withHash(patch(6), 5), whole(7, false)},
			[]string{`state e-5 {"n":5} -> e-5`, `tx e-6 rejected -> e-6`, `updated e-7 {"n":7} -> e-7`}},
		{"the replay leads to another state", []any{fromState(5), resumedSnapshot(7, 2), patchReplayed(6), rejection(7, true)},
			[]string{`state e-5 resumed +2 {"n":5}`, `tx e-6 replayed {"n":6} -> e-6`, `tx e-7 replayed rejected -> e-7`}},
		{"a replay that skips revisions leads to another state", []any{fromState(5), resumedSnapshot(9, 1), patchReplayed(6), patch(10)},
			[]string{`state e-5 resumed +1 {"n":5}`, `tx e-6 replayed {"n":6} -> e-9`, `tx e-10 rejected -> e-10`}},
		{"a skip of the round before", []any{fromState(5), skippedSnapshot(8, 3), resumedSnapshot(7, 2), patchReplayed(6), patchReplayed(7)},
			[]string{`state e-5 resumed +2 {"n":5}`, `tx e-6 replayed {"n":6} -> e-6`, `tx e-7 replayed {"n":7} -> e-7`}},
		{"a gap", []any{fromState(5), wholeSnapshot(9, 0), notFound("lost"), patch(10)},
			[]string{"gap after e-5 -> ", `state e-9 {"n":9} -> e-9`, `tx e-10 {"n":10} -> e-10`}},
		{"a replay given up", []any{fromState(5), resumedSnapshot(9, 4), patchReplayed(6), wholeSnapshot(9, 0), notFound("broke off"), patch(10)},
			[]string{`state e-5 resumed +4 {"n":5}`, `tx e-6 replayed {"n":6} -> e-6`, "gap after e-6 -> ", `state e-9 {"n":9} -> e-9`, `tx e-10 {"n":10} -> e-10`}},
		{"no state, though there is none to resume from", []any{fresh, resumedSnapshot(5, 0)}, []string{"resubscribe", "later"}},
		{"no state, though only the cursor is known", []any{cursorOnly, resumedSnapshot(7, 2)}, []string{"gap after e-5 -> ", "resubscribe", "later"}},
		{"no state, though it cannot be reached", []any{fromState(5), resumedSnapshot(7, 0)}, []string{"gap after e-5 -> ", "resubscribe", "later"}},
		{"no state and no hash", []any{fromState(5), hashless}, []string{"gap after e-5 -> ", "resubscribe", "later"}},
		{"patches in a round without", []any{fresh, snapshot("e", 5, 0), unasked, transaction(7)},
			[]string{"state e-5 1 -> e-5", "tx e-6 -> e-6", "tx e-7 1 -> e-7"}},
		{"older server", []any{fromState(5), snapshot("e", 7, 2), replayed(6), replayed(7), transaction(8)},
			[]string{"state e-7 resumed +2 1", "tx e-6 replayed -> e-6", "tx e-7 replayed 1 -> e-7", "tx e-8 1 -> e-8"}},
		{"conflated", []any{fresh, wholeSnapshot(5, 0), patch(6), skippedSnapshot(96, 90), patch(97)},
			[]string{`state e-5 {"n":5} -> e-5`, `tx e-6 {"n":6} -> e-6`, `state e-96 skipped 90 {"n":96} -> e-96`, `tx e-97 {"n":97} -> e-97`}},
		{"conflated in a replay", []any{fromState(5), resumedSnapshot(90, 85), patchReplayed(6), skippedSnapshot(96, 90), patch(97)},
			[]string{`state e-5 resumed +85 {"n":5}`, `tx e-6 replayed {"n":6} -> e-6`, `state e-96 skipped 90 {"n":96} -> e-96`, `tx e-97 {"n":97} -> e-97`}},
		{"conflated by another number", []any{fresh, wholeSnapshot(5, 0), skippedSnapshot(9, 3)},
			[]string{`state e-5 {"n":5} -> e-5`, "gap after e-5 -> ", `state e-9 {"n":9} -> e-9`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := &catchUp{shareDataID: "x", asked: features{patches: true, conflate: true}}
			if got := runCatchUp(t, u, test.given, describeState); !slices.Equal(got, test.want) {
				t.Errorf("\n got %q\nwant %q", got, test.want)
			}
		})
	}
}

// Patches and skipped entries that were not asked for are not understood.
func TestCatchUp_NotAsked(t *testing.T) {
	u := &catchUp{shareDataID: "x"}
	given := []any{subscribeFrom{}, wholeSnapshot(5, 0), patch(6), skippedSnapshot(9, 3), fromState(9), resumedSnapshot(9, 0)}
	want := []string{`state e-5 {"n":5} -> e-5`, "tx e-6 -> e-6", "gap after e-6 -> ", `state e-9 {"n":9} -> e-9`, "gap after e-9 -> ", "resubscribe", "later"}
	if got := runCatchUp(t, u, given, describeState); !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if event := u.eventOf(patch(6)).(*Transaction); event.Patch != nil {
		t.Errorf("patch %s", event.Patch)
	}
}

// The position says which transaction is the newest at it.
func TestCatchUp_LastTransaction(t *testing.T) {
	u := &catchUp{shareDataID: "x", asked: features{patches: true}}
	u.begin(position{})
	u.receive(wholeSnapshot(5, 0))
	u.receive(patch(6))
	at := u.receive(whole(7, false)).items[0].after
	u.begin(at)
	event := u.receive(resumedSnapshot(9, 2)).items[0].event.(*State)
	if event.Cursor != "e-7" || event.Revision != 7 || event.LastTransactionID != "e-6" {
		t.Errorf("got %+v", event)
	}
	u.begin(position{known: true, cursor: "e-7", state: wholeState(numberState(7), "")})
	event = u.receive(resumedSnapshot(9, 2)).items[0].event.(*State)
	if event.Cursor != "e-7" || event.Revision != 7 || event.LastTransactionID != "" {
		t.Errorf("got %+v from the cursor alone", event)
	}
}

// A live round holds one state: that at the head.
func TestCatchUp_SnapshotReleased(t *testing.T) {
	u := &catchUp{shareDataID: "x", asked: features{patches: true}}
	u.begin(position{})
	for _, frame := range []wire.ServerMessage{wholeSnapshot(5, 0), patch(6)} {
		u.receive(frame)
		if u.snapshot != nil || u.snapshotAt.state != nil {
			t.Errorf("the snapshot is held: %+v", u.snapshot)
		}
	}
}

// Without a cursor of its own, a state belongs to no position: a later subscribe must not
// claim to have it.
func TestCatchUp_StateWithoutCursor(t *testing.T) {
	for name, given := range map[string][]any{
		"wholesale update":      {subscribeFrom{}, plainState("t5"), plainUpdated()},
		"nothing replayed":      {subscribeFrom{known: true, cursor: "t5", state: wholeState(numberState(5), "")}, plainState("t7"), barrierPong{}},
		"replayed without":      {fromID("t5"), plainState("t7"), plainReplayed("t6")},
		"rejection in a replay": {fromState(5), snapshot("e", 9, 4), rejection(6, true)},
	} {
		u := &catchUp{shareDataID: "x", asked: features{patches: true}}
		runCatchUp(t, u, given, describeState)
		if !u.position.known || u.position.state != nil {
			t.Errorf("%s: at %+v", name, u.position)
		}
	}
}

// Whatever a server sends that says the truth about each frame's own state, no event
// carries the state of another revision.
func FuzzCatchUp_Patches(f *testing.F) {
	f.Add([]byte{0x05, 0x16, 0x17, 0x00, 0x32, 0x29, 0x28, 0x19})
	f.Add([]byte{0x05, 0x16, 0x59, 0x1a, 0x00, 0x4c, 0x2b, 0x2c, 0x6d})
	f.Fuzz(func(t *testing.T, script []byte) {
		u := catchUp{shareDataID: "x", asked: features{patches: true, conflate: true}}
		var at position
		for _, b := range script {
			revision := int(b&0xf) + 1
			var s step
			switch b >> 4 {
			case 0:
				u.begin(at)
				s = u.receive(wholeSnapshot(revision, 0))
			case 1:
				s = u.receive(patch(revision))
			case 2:
				s = u.receive(patchReplayed(revision))
			case 3:
				u.begin(at)
				s = u.receive(resumedSnapshot(int(at.revision)+revision, revision))
			case 4:
				u.begin(position{known: true, cursor: at.cursor})
				s = u.receive(includedSnapshot(int(at.revision)+revision, revision))
			case 5:
				s = u.receive(skippedSnapshot(revision, 3))
			case 6:
				s = u.receive(whole(revision, false))
			case 7:
				s = u.receive(whole(revision, true))
			case 8:
				s = u.cursorNotFound("lost")
			case 9:
				s = u.barrierPassed()
			case 10:
				s = u.receive(resumedSnapshot(revision, revision%4))
			}
			for _, it := range s.items {
				at = it.after
				if it.state == nil {
					continue
				}
				var revision uint64
				switch e := it.event.(type) {
				case *State:
					revision = e.Revision
				case *Transaction:
					revision = e.Revision
				case *Lifecycle:
					revision = e.Revision
				}
				if text, err := it.state.resolve(); err == nil && string(text) != string(numberState(int(revision))) {
					t.Fatalf("%x: %s carries %s", script, describe(it.event), text)
				}
			}
			if at.state != nil {
				if text, err := at.state.resolve(); err == nil && string(text) != string(numberState(int(at.revision))) {
					t.Fatalf("%x: the state at %s is %s", script, at.cursor, text)
				}
			}
			if s.resubscribe {
				u.begin(at)
			}
		}
	})
}

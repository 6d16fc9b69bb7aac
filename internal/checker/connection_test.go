package checker_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

func propose(correlation string) *wire.Propose {
	return &wire.Propose{ShareDataID: "x", FunctionID: "f", ProposedData: json.RawMessage("1"), CorrelationID: correlation}
}

func transaction(cursor string) *wire.Transaction {
	return &wire.Transaction{ShareDataID: "x", TransactionID: cursor, Accepted: true, CurrentState: stateAt(cursor), FunctionID: "f"}
}

func answer(correlation, cursor string) *wire.ProposalResult {
	return &wire.ProposalResult{CorrelationID: correlation, Accepted: true, TransactionID: cursor}
}

func TestConnections(t *testing.T) {
	type frame any
	subscribed := []frame{
		&wire.Subscribe{ShareDataID: "x"},
		&wire.State{ShareDataID: "x", CurrentState: stateAt("1-3"), Cursor: "1-3"},
	}
	for _, test := range []struct {
		name   string
		frames []frame
		want   []checker.Promise
	}{
		{"a verdict after its transaction", []frame{propose("a"), transaction("1-4"), answer("a", "1-4")}, nil},
		{"a verdict before its transaction", []frame{propose("a"), answer("a", "1-4"), transaction("1-4")}, []checker.Promise{checker.Ordered}},
		{"a verdict, and the end of the connection", []frame{propose("a"), answer("a", "1-4")}, nil},
		{"a verdict on a later proposal before a transaction", []frame{
			propose("a"), propose("b"), answer("b", "1-5"), transaction("1-4"), transaction("1-5"), answer("a", "1-4"),
		}, []checker.Promise{checker.Ordered}},
		{"an answer that came before a verdict on what was asked later", []frame{
			&wire.Subscribe{ShareDataID: "x", Since: "1-3"}, propose("a"),
			&wire.State{ShareDataID: "x", CurrentState: stateAt("2-1"), Cursor: "2-1", HasReplaying: true},
			&wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: "x"},
			transaction("2-2"), answer("a", "2-2"),
			&wire.State{ShareDataID: "x", CurrentState: stateAt("2-2"), Cursor: "2-2", HasReplaying: true},
			&wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: "x"},
		}, []checker.Promise{checker.Resumable}},
		{"an answer that came after a verdict on what was asked before", []frame{
			propose("a"), &wire.Subscribe{ShareDataID: "x", Since: "1-3"},
			&wire.State{ShareDataID: "x", CurrentState: stateAt("2-1"), Cursor: "2-1", HasReplaying: true},
			&wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: "x"},
			transaction("2-2"), answer("a", "2-2"),
			&wire.State{ShareDataID: "x", CurrentState: stateAt("2-2"), Cursor: "2-2", HasReplaying: true},
			&wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: "x"},
		}, nil},
		{"a repeated verdict before the transaction", []frame{
			propose("a"), &wire.ProposalResult{CorrelationID: "a", TransactionID: "1-4", Accepted: true, Duplicate: true}, transaction("1-4"),
		}, []checker.Promise{checker.OnceOnly}}, // only because it has no key
		{"a verdict after an unsubscribe", []frame{propose("a"), &wire.Unsubscribe{ShareDataID: "x"}, answer("a", "1-4")}, nil},
		{"a verdict that waits for a new state", []frame{
			propose("a"), &wire.Subscribe{ShareDataID: "x", Since: "1-3"}, answer("a", "1-4"),
		}, nil},
		{"verdicts in the order of sending", []frame{
			propose("a"), propose("b"), transaction("1-4"), transaction("1-5"), answer("b", "1-5"), answer("a", "1-4"),
		}, nil},
		{"verdicts against the order of sending", []frame{
			propose("a"), propose("b"), transaction("1-4"), transaction("1-5"), answer("a", "1-5"), answer("b", "1-4"),
		}, []checker.Promise{checker.Ordered}},
		{"an answer to nothing", []frame{answer("z", "1-9")}, nil},
		{"a frame that is missing", []frame{transaction("1-5")}, []checker.Promise{checker.Gapless}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			c := rec.Connection("c")
			for _, f := range slices.Concat(subscribed, test.frames) {
				switch f := f.(type) {
				case wire.ClientMessage:
					c.Sent(f)
				case wire.ServerMessage:
					c.Received(f)
				}
			}
			c.Closed(codes.CloseFellBehind)
			c.Sent(&wire.Subscribe{ShareDataID: "x"}) // is not sent, so nothing is missing
			v := rec.Check(checker.Options{Complete: true})
			if got := broken(v); !slices.Equal(got, test.want) {
				t.Errorf("broken: %q, want %q\n%v", got, test.want, v)
			}
			if s := rec.Summary(); s.FellBehind != 1 || s.States < 1 {
				t.Errorf("recorded %v", s)
			}
		})
	}
}

// A client that reconnects applies patches to the state that it had before.
func TestConnection_Continues(t *testing.T) {
	for patch, want := range map[string][]checker.Promise{`[{"op":"add","path":"/n","value":2}]`: nil, `[]`: {checker.InSync}} {
		rec := checker.NewRecorder()
		first := rec.Connection("c")
		subscribe := &wire.Subscribe{ShareDataID: "x", Patches: true}
		first.Sent(subscribe)
		first.Received(&wire.State{ShareDataID: "x", CurrentState: []byte(`{}`), Cursor: "1-3", StateHash: hashOf([]byte(`{}`)).String()})
		first.Closed(0)
		second := rec.Connection("c")
		second.Continues(first)
		if !second.KeepStateAt("x", "1-3") || second.KeepStateAt("x", "1-4") {
			t.Error("the second connection does not have the state of the first")
		}
		subscribe.Since = "1-3"
		second.Sent(subscribe)
		second.Received(&wire.State{ShareDataID: "x", Resumed: true, Cursor: "1-4", HasReplaying: true, Replaying: 1, StateHash: hashOf([]byte(`{"n":2}`)).String()})
		second.Received(&wire.Transaction{ShareDataID: "x", TransactionID: "1-4", Accepted: true, Replayed: true, Patch: []byte(patch)})
		if v := rec.Check(checker.Options{}); !slices.Equal(broken(v), want) {
			t.Errorf("%s: broken %q, want %q\n%v", patch, broken(v), want, v)
		}
	}
}

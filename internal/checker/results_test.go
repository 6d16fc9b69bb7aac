package checker_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/sharedata"
)

// resultStep is a proposal to "set" and its result. Without a cursor it is refused;
// with the cursor "?" it has no result.
type resultStep struct {
	connection, key, data, cursor string
	rejected, duplicate           bool
}

func TestResults(t *testing.T) {
	keyed := func(e *sharedata.Entry) {
		if e.Revision() == 3 {
			e.IdempotencyKey = "k"
		}
	}
	for _, test := range []struct {
		name    string
		answers []resultStep // each before the next is sent
		want    []checker.Promise
	}{
		{"what was committed", []resultStep{{data: `"1-2"`, cursor: "1-2"}, {key: "k", data: `"1-3"`, cursor: "1-3"}}, nil},
		{"the data written with other spaces", []resultStep{{data: ` "1-2" `, cursor: "1-2"}}, nil},
		{"other data", []resultStep{{data: `"1-3"`, cursor: "1-2"}}, []checker.Promise{checker.CommittedBeforeSeen}},
		{"another key", []resultStep{{key: "k", data: `"1-2"`, cursor: "1-2"}}, []checker.Promise{checker.OnceOnly}},
		{"another verdict", []resultStep{{data: `"1-2"`, cursor: "1-2", rejected: true}}, []checker.Promise{checker.CommittedBeforeSeen}},
		{"an entry that is no transaction", []resultStep{{data: `"1-1"`, cursor: "1-1"}}, []checker.Promise{checker.CommittedBeforeSeen}},
		{"the transaction of another proposal", []resultStep{{data: `"1-2"`, cursor: "1-2"}, {data: `"1-2"`, cursor: "1-2"}}, []checker.Promise{checker.OneWinner}},
		{"an order against that of time", []resultStep{{data: `"1-4"`, cursor: "1-4"}, {data: `"1-2"`, cursor: "1-2"}}, []checker.Promise{checker.OneWinner}},
		{"a repeat of what was lost", []resultStep{{key: "k", data: `"1-3"`, cursor: "?"}, {data: `"1-4"`, cursor: "1-4"}, {key: "k", data: `"1-3"`, cursor: "1-3", duplicate: true}}, nil},
		{"a repeat of what was refused", []resultStep{{key: "k", data: `"1-3"`}, {data: `"1-2"`, cursor: "1-2"}, {key: "k", data: `"1-3"`, cursor: "1-3"}}, nil},
		{"a repeat with other data", []resultStep{{key: "k", data: `"1-3"`, cursor: "1-3"}, {key: "k", data: `7`, cursor: "1-3", duplicate: true}}, nil},
		{"a repeat with another verdict", []resultStep{{key: "k", data: `"1-3"`, cursor: "1-3"}, {key: "k", data: `"1-3"`, cursor: "1-3", duplicate: true, rejected: true}},
			[]checker.Promise{checker.CommittedBeforeSeen, checker.OnceOnly}},
		{"a repeat that is not called a duplicate", []resultStep{{key: "k", data: `"1-3"`, cursor: "1-3"}, {key: "k", data: `"1-3"`, cursor: "1-3"}},
			[]checker.Promise{checker.OneWinner, checker.OnceOnly}},
		{"a repeat in a lost epoch, with another verdict", []resultStep{{key: "k", data: "1", cursor: "2-3"}, {key: "k", data: "1", cursor: "2-4", duplicate: true}}, []checker.Promise{checker.OnceOnly}},
		{"a verdict in a lost epoch, and another", []resultStep{{key: "k", data: "1", cursor: "2-3"}, {key: "k", data: "1", cursor: "2-3", duplicate: true, rejected: true}},
			[]checker.Promise{checker.OneWinner, checker.OnceOnly}},
		{"a key in two epochs", []resultStep{{key: "k", data: `"1-3"`, cursor: "1-3"}, {key: "k", data: "1", cursor: "2-3"}}, nil},
		{"more than was recorded", []resultStep{{data: "1", cursor: "1-6"}}, []checker.Promise{checker.CommittedBeforeSeen}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := checker.NewRecorder()
			rec.History(history(1, 5, keyed))
			for _, a := range test.answers {
				p := rec.Proposed(checker.Proposal{
					Proposer: "p", ShareData: "x", Function: "set", Data: json.RawMessage(a.data), Key: a.key, Connection: a.connection,
				})
				if a.cursor != "?" {
					p.Answered(checker.Answer{Accepted: !a.rejected && a.cursor != "", TransactionID: a.cursor, Duplicate: a.duplicate})
				}
			}
			if v := rec.Check(checker.Options{}); !slices.Equal(broken(v), test.want) {
				t.Errorf("broken: %q, want %q\n%v", broken(v), test.want, v)
			}
		})
	}
}

func TestObserve_Audited(t *testing.T) {
	entries := history(1, 5, unchanged)
	entries[3].Data = json.RawMessage("7")
	rec := checker.NewRecorder()
	for _, e := range entries {
		rec.Observe([]sharedata.Event{{Entry: e}})
	}
	v := rec.Check(checker.Options{})
	if len(v) != 1 || v[0].Promise != checker.Auditable || v[0].Where != "1-4" {
		t.Errorf("got %v", v)
	}
}

func TestFinal(t *testing.T) {
	entries := history(1, 5, func(e *sharedata.Entry) {
		if e.Revision() == 5 {
			*e = sharedata.Entry{ShareDataID: "x", Cursor: e.Cursor, Type: sharedata.EntryUpdated, StateHash: e.StateHash}
		}
	})
	good := sharedata.Snapshot{ID: "x", State: stateAt("1-5"), Cursor: entries[4].Cursor, LastTransaction: entries[3].Cursor}
	for name, change := range map[string]func(*sharedata.Snapshot){
		"good":             func(*sharedata.Snapshot) {},
		"state":            func(s *sharedata.Snapshot) { s.State = json.RawMessage("7") },
		"cursor":           func(s *sharedata.Snapshot) { s.Cursor = entries[3].Cursor },
		"last transaction": func(s *sharedata.Snapshot) { s.LastTransaction = entries[4].Cursor },
	} {
		rec := checker.NewRecorder()
		rec.History(entries)
		snapshot := good
		change(&snapshot)
		rec.Final(snapshot)
		if v := rec.Check(checker.Options{}); (len(v.Of(checker.Auditable)) == 1) != (name != "good") || len(v) > 1 {
			t.Errorf("%s: %v", name, v)
		}
	}
}

package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/safe-go/safe/schemas"
	"github.com/safe-go/safe/schemas/codes"
)

// message is the common part of both directions.
type message interface{ AppendTo(dst []byte) []byte }

// awkward is a string with every kind of character that must be quoted.
const awkward = "\"quoted\" \\ / \x00\x1f\t\n\r\b\f é 😀 \u2028\u2029 \u007f </script>&"

// someHash is the SHA-256 of {"value":3}.
const someHash = "d428e15b36ff064e22b6f8db60bd7a59bcfc07a04ccd0f15d9a96dc060c72e3c"

// goldenFrames are messages whose encoding must not change, by file name. Every
// optional member occurs with and without the others.
var goldenFrames = map[string]message{
	"subscribe":         &Subscribe{ShareDataID: "counter"},
	"subscribe-since":   &Subscribe{ShareDataID: "counter", Since: "1a2b3c-7"},
	"subscribe-replay":  &Subscribe{ShareDataID: "counter", Since: "1a2b3c-7", ReplayLifecycle: true},
	"subscribe-keep":    &Subscribe{ShareDataID: "counter", KeepConnection: true},
	"subscribe-awkward": &Subscribe{ShareDataID: awkward, Since: awkward, ReplayLifecycle: true, KeepConnection: true},
	"subscribe-patches": &Subscribe{ShareDataID: "counter", Patches: true},
	"subscribe-patches-all": &Subscribe{
		ShareDataID: "counter", Since: "1a2b3c-7", Patches: true, IncludeState: true, Activity: true, Conflate: true,
	},

	"unsubscribe":         &Unsubscribe{ShareDataID: "counter"},
	"unsubscribe-awkward": &Unsubscribe{ShareDataID: awkward},

	"propose": &Propose{
		ShareDataID: "counter", FunctionID: "add", ProposedData: []byte(`{"by":1}`), CorrelationID: "c-1",
	},
	"propose-null": &Propose{
		ShareDataID: "counter", FunctionID: "reset", ProposedData: []byte(`null`), CorrelationID: "c-2",
	},
	"propose-proof": &Propose{
		ShareDataID: "counter", FunctionID: "add", ProposedData: []byte(`1`), CorrelationID: "c-3",
		Proof: []byte(`{"purpose":"add","jws":"a.b.c"}`),
	},
	"propose-key": &Propose{
		ShareDataID: "counter", FunctionID: "add", ProposedData: []byte(`[]`), CorrelationID: "c-4",
		IdempotencyKey: "key-1",
	},
	"propose-everything-awkward": &Propose{
		ShareDataID: awkward, FunctionID: awkward, CorrelationID: awkward,
		ProposedData: []byte(`{ "verbatim" : [ 1.0, 1e2, "\u0041\/" ] }`), Proof: []byte(`"\ud83d\ude00"`),
		IdempotencyKey: awkward,
	},
	"propose-longest": &Propose{
		ShareDataID: "counter", FunctionID: "add", ProposedData: []byte(`0`),
		CorrelationID: strings.Repeat("😀", 1024), IdempotencyKey: strings.Repeat("é", 256),
	},

	"ping":         &Ping{CorrelationID: "c-5"},
	"ping-expiry":  &Ping{CorrelationID: "c-5", TokenExpiry: true},
	"ping-awkward": &Ping{CorrelationID: awkward, TokenExpiry: true},

	"authenticate":         &Authenticate{CorrelationID: "c-6", Token: "a.b.c"},
	"authenticate-awkward": &Authenticate{CorrelationID: awkward, Token: awkward},

	"state": &State{
		ShareDataID: "counter", CurrentState: []byte(`{"value":3}`), LastTransactionID: "1a2b3c-7",
		Cursor: "1a2b3c-8", Revision: 8, Replaying: 2, HasReplaying: true,
	},
	"state-first": &State{
		ShareDataID: "counter", CurrentState: []byte(`{"value":0}`), Cursor: "1a2b3c-1", Revision: 1, HasReplaying: true,
	},
	"state-no-replay": &State{
		ShareDataID: "counter", CurrentState: []byte(`null`), LastTransactionID: "1a2b3c-7",
		Cursor: "1a2b3c-7", Revision: 7,
	},
	"state-plain": &State{
		ShareDataID: "counter", CurrentState: []byte(`"text"`), LastTransactionID: "8f0e2a",
	},
	"state-plain-first": &State{ShareDataID: "counter", CurrentState: []byte(`false`)},
	"state-greatest": &State{
		ShareDataID: "counter", CurrentState: []byte(`[]`), LastTransactionID: "e-1",
		Cursor: "e-9007199254740991", Revision: 9007199254740991, Replaying: 9007199254740991, HasReplaying: true,
	},
	"state-patches": &State{
		ShareDataID: "counter", CurrentState: []byte(`{"value":3}`), LastTransactionID: "1a2b3c-7",
		Cursor: "1a2b3c-8", Revision: 8, HasReplaying: true, StateHash: someHash,
	},
	"state-resumed": &State{
		ShareDataID: "counter", LastTransactionID: "1a2b3c-7", Cursor: "1a2b3c-8", Revision: 8, Replaying: 2, HasReplaying: true,
		Resumed: true, StateHash: someHash,
	},
	"state-resumed-included": &State{
		ShareDataID: "counter", CurrentState: []byte(`null`), Cursor: "1a2b3c-1", Revision: 1, HasReplaying: true, Resumed: true, StateHash: someHash,
	},
	"state-skipped": &State{
		ShareDataID: "counter", CurrentState: []byte(`{"value":9}`), LastTransactionID: "1a2b3c-99", Cursor: "1a2b3c-99", Revision: 99, Skipped: 90,
	},
	"state-awkward": &State{
		ShareDataID: awkward, CurrentState: []byte(`[ ]`), LastTransactionID: awkward, Cursor: awkward,
	},

	"transaction": &Transaction{
		ShareDataID: "counter", TransactionID: "1a2b3c-7", Accepted: true, CurrentState: []byte(`{"value":3}`),
		Revision: 7, FunctionID: "add",
	},
	"transaction-rejected": &Transaction{
		ShareDataID: "counter", TransactionID: "1a2b3c-8", CurrentState: []byte(`{"value":3}`),
		Revision: 8, FunctionID: "add",
	},
	"transaction-replayed": &Transaction{
		ShareDataID: "counter", TransactionID: "1a2b3c-7", Accepted: true, Replayed: true, Revision: 7, FunctionID: "add",
	},
	"transaction-null": &Transaction{
		ShareDataID: "doc", TransactionID: "1a2b3c-7", Accepted: true, CurrentState: []byte(`null`), Revision: 7,
	},
	"transaction-patch": &Transaction{
		ShareDataID: "counter", TransactionID: "1a2b3c-32", Accepted: true, Patch: []byte(`[{"op":"replace","path":"/value","value":4}]`),
		Revision: 32, FunctionID: "add", StateHash: someHash,
	},
	"transaction-patch-replayed": &Transaction{
		ShareDataID: "counter", TransactionID: "1a2b3c-8", Accepted: true, Patch: []byte(`[{"op":"remove","path":"/value"}]`),
		Replayed: true, Revision: 8, FunctionID: "clear",
	},
	"transaction-activity": &Transaction{
		ShareDataID: "counter", TransactionID: "1a2b3c-8", Revision: 8, FunctionID: "take", Activity: []byte(
			`{"time":"2026-01-02T03:04:05.678Z","subject":"ann","issuer":"https://id.example","proposedData":{"by":5},"code":"sold-out","reason":"only 3 left","details":{"left":3}}`),
	},
	"transaction-plain": &Transaction{
		ShareDataID: "counter", TransactionID: "8f0e2a", Accepted: true, CurrentState: []byte(`3`),
	},
	"transaction-plain-replayed": &Transaction{
		ShareDataID: "counter", TransactionID: "8f0e2a", Replayed: true,
	},
	"transaction-awkward": &Transaction{
		ShareDataID: awkward, TransactionID: awkward, FunctionID: awkward,
	},

	"lifecycle-updated": &Lifecycle{
		ShareDataID: "counter", Event: EventUpdated, CurrentState: []byte(`{"value":9}`), Cursor: "1a2b3c-9", Revision: 9,
	},
	"lifecycle-updated-replayed": &Lifecycle{
		ShareDataID: "counter", Event: EventUpdated, Replayed: true, Cursor: "1a2b3c-9", Revision: 9,
	},
	"lifecycle-removed": &Lifecycle{
		ShareDataID: "counter", Event: EventRemoved, Cursor: "1a2b3c-10", Revision: 10,
	},
	"lifecycle-patch": &Lifecycle{
		ShareDataID: "counter", Event: EventUpdated, Patch: []byte(`[{"op":"add","path":"/unit","value":"kg"}]`), Replayed: true,
		Cursor: "1a2b3c-32", Revision: 32, StateHash: someHash, Activity: []byte(`{"time":"2026-01-02T03:04:05Z","subject":"ann"}`),
	},
	"lifecycle-plain-updated": &Lifecycle{ShareDataID: "counter", Event: EventUpdated, CurrentState: []byte(`null`)},
	"lifecycle-plain-removed": &Lifecycle{ShareDataID: "counter", Event: EventRemoved},
	"lifecycle-awkward":       &Lifecycle{ShareDataID: awkward, Event: EventRemoved, Cursor: awkward},

	"proposal-result":          &ProposalResult{CorrelationID: "c-1", Accepted: true, TransactionID: "1a2b3c-7"},
	"proposal-result-rejected": &ProposalResult{CorrelationID: "c-1", TransactionID: "1a2b3c-8", Error: "below zero"},
	"proposal-result-refused":  &ProposalResult{CorrelationID: "c-1", Error: "no function \"sub\""},
	"proposal-result-duplicate": &ProposalResult{
		CorrelationID: "c-1", Accepted: true, TransactionID: "1a2b3c-7", Duplicate: true,
	},
	"proposal-result-awkward": &ProposalResult{
		CorrelationID: awkward, TransactionID: awkward, Error: awkward, Duplicate: true, Code: awkward, Details: []byte(`{"a":[null]}`), RetryAfterMs: maxInteger,
	},
	"proposal-result-code": &ProposalResult{
		CorrelationID: "c-1", TransactionID: "1a2b3c-8", Error: "only 3 left", Code: "sold-out", Details: []byte(`{"left":3}`),
	},
	"proposal-result-busy": &ProposalResult{CorrelationID: "c-1", Error: "too many", Code: codes.Busy, RetryAfterMs: 250},

	"pong":         &Pong{CorrelationID: "c-5"},
	"pong-expiry":  &Pong{CorrelationID: "c-5", TokenExpiresInMs: 60000, HasTokenExpiresIn: true},
	"pong-awkward": &Pong{CorrelationID: awkward, HasTokenExpiresIn: true},

	"authenticated":         &Authenticated{CorrelationID: "c-6"},
	"authenticated-expiry":  &Authenticated{CorrelationID: "c-6", TokenExpiresInMs: 3600000, HasTokenExpiresIn: true},
	"authenticated-awkward": &Authenticated{CorrelationID: awkward, TokenExpiresInMs: maxInteger, HasTokenExpiresIn: true},

	"error": &Error{Code: codes.InvalidMessage, Message: "propose frame: /functionId is missing"},
	"error-correlation": &Error{
		Code: codes.InvalidMessage, Message: "", CorrelationID: "c-1",
	},
	"error-sharedata": &Error{Code: codes.UnknownShareData, Message: "no such ShareData", ShareDataID: "counter"},
	"error-retry":     &Error{Code: codes.RateLimited, Message: "too many messages", RetryAfterMs: 250},
	"error-awkward":   &Error{Code: awkward, Message: awkward, CorrelationID: awkward, ShareDataID: awkward, RetryAfterMs: maxInteger},
}

// decodeLike decodes in the direction that m goes.
func decodeLike(m message, frame []byte) (message, error) {
	if _, ok := m.(ClientMessage); ok {
		return DecodeClient(frame, Limits{})
	}
	return DecodeServer(frame, Limits{})
}

func explainLike(validator *schemas.Validator, m message, frame []byte) error {
	if _, ok := m.(ClientMessage); ok {
		return validator.ExplainClient(frame)
	}
	return validator.ExplainServer(frame)
}

func newValidator(t testing.TB) *schemas.Validator {
	t.Helper()
	validator, err := schemas.New()
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

func TestGoldenFrames(t *testing.T) {
	validator := newValidator(t)
	for name, want := range goldenFrames {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "frames", name+".json")
			if *update {
				if err := os.WriteFile(path, want.AppendTo(nil), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			frame, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeLike(want, frame)
			if err != nil {
				t.Fatalf("decode %s: %v", frame, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("decoded\n%#v, want\n%#v", got, want)
			}
			if encoded := want.AppendTo(nil); !bytes.Equal(encoded, frame) {
				t.Errorf("encoded\n%s, want\n%s", encoded, frame)
			}
			if err := explainLike(validator, want, frame); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
	}
}

func TestActivity_Encoding(t *testing.T) {
	want := goldenFrames["transaction-activity"].(*Transaction).Activity
	var activity Activity
	if err := json.Unmarshal(want, &activity); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(activity); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if activity.Code != "sold-out" || activity.Subject != "ann" || string(activity.ProposedData) != `{"by":5}` || activity.Time.Year() != 2026 {
		t.Errorf("read as %+v", activity)
	}
}

func TestGoldenFrames_AllRead(t *testing.T) {
	paths, err := filepath.Glob("testdata/frames/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if name := strings.TrimSuffix(filepath.Base(path), ".json"); goldenFrames[name] == nil {
			t.Errorf("no test reads %s", path)
		}
	}
}

// looseFrames are written in other ways than AppendTo writes these messages.
var looseFrames = map[string]message{
	"type-last":            &Ping{CorrelationID: "c"},
	"white-space":          &Ping{CorrelationID: "c"},
	"escaped-names":        &Ping{CorrelationID: "c"},
	"escaped-type":         &Ping{CorrelationID: "c"},
	"escaped-strings":      &Ping{CorrelationID: "a/b\"\U0001F600\u2028"},
	"version-1.0":          &Ping{CorrelationID: "c"},
	"version-10e-1":        &Ping{CorrelationID: "c"},
	"version-0.1E+1":       &Ping{CorrelationID: "c"},
	"members-ignored":      &Ping{CorrelationID: "c"},
	"members-of-others":    &Ping{CorrelationID: "c"},
	"members-by-case":      &Ping{CorrelationID: "c"},
	"since-empty":          &Subscribe{ShareDataID: "s"},
	"proof-null":           &Propose{ShareDataID: "s", FunctionID: "f", ProposedData: []byte("1"), CorrelationID: "c"},
	"proof-false":          &Propose{ShareDataID: "s", FunctionID: "f", ProposedData: []byte("1"), CorrelationID: "c", Proof: []byte("false")},
	"proof-first":          &Propose{ShareDataID: "s", FunctionID: "f", ProposedData: []byte("{ }"), CorrelationID: "c", Proof: []byte("[ 1 ]")},
	"state-empties":        &State{ShareDataID: "s", CurrentState: []byte("0")},
	"state-resumed-false":  &State{ShareDataID: "s", CurrentState: []byte("0")},
	"transaction-patch":    &Transaction{ShareDataID: "s", TransactionID: "t", Accepted: true, Patch: []byte("[ ]"), Activity: []byte(`{ "time" : 7 }`), StateHash: someHash},
	"state-revision-alone": &State{ShareDataID: "s", CurrentState: []byte("0"), Revision: 100, Replaying: 2, HasReplaying: true},
	"transaction-falses":   &Transaction{ShareDataID: "s", TransactionID: "t"},
	"transaction-all":      &Transaction{ShareDataID: "s", TransactionID: "t", CurrentState: []byte("{}"), Replayed: true},
	"removed-with-state":   &Lifecycle{ShareDataID: "s", Event: EventRemoved, CurrentState: []byte("{}")},
	"result-empties":       &ProposalResult{CorrelationID: "c", Accepted: true},
	"result-details-null":  &ProposalResult{CorrelationID: "c", Details: []byte("null")},
	"result-details-deep":  &ProposalResult{CorrelationID: "c", Code: "sold-out", Details: []byte(`[ {"left":[]} ]`), RetryAfterMs: 250},
	"subscribe-falses":     &Subscribe{ShareDataID: "s"},
	"error-empties":        &Error{Code: "x"},
}

func TestLooseFrames(t *testing.T) {
	validator := newValidator(t)
	paths, err := filepath.Glob("testdata/loose/*.json")
	if err != nil || len(paths) != len(looseFrames) {
		t.Errorf("%d files for %d messages: %v", len(paths), len(looseFrames), err)
	}
	for name, want := range looseFrames {
		t.Run(name, func(t *testing.T) {
			frame, err := os.ReadFile(filepath.Join("testdata", "loose", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeLike(want, frame)
			if err != nil {
				t.Fatalf("decode %s: %v", frame, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("decoded\n%#v, want\n%#v", got, want)
			}
			if err := explainLike(validator, want, frame); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
			again, err := decodeLike(want, want.AppendTo(nil))
			if err != nil || !reflect.DeepEqual(again, want) {
				t.Errorf("encoded and decoded again: %#v, %v", again, err)
			}
		})
	}
}

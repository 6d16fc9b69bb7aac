package sharedata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/safe-go/safe/replay"
)

// golden are the records of someHistory("n", 7). A change to these, to
// goldenRejected, to goldenContinued or to goldenProven makes every stored history fail its audit.
var golden = []string{
	`{"shareDataId":"n","cursor":"7-1","type":"created","time":"2030-01-02T03:04:05.000000006Z","kind":"number","caller":{"subject":"ann","claims":{"role":"admin"}},"state":3,"stateHash":"4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce","previous":"0000000000000000000000000000000000000000000000000000000000000000","hash":"c342b131c0ff509c311c8feac49f0f4a48e97cedf5b37aa6a119cb42cdb8abcc"}`,
	`{"shareDataId":"n","cursor":"7-2","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"add","proposedData":2,"accepted":true,"idempotencyKey":"k","caller":{"subject":"ann","claims":{"role":"admin"}},"state":5,"stateHash":"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d","previous":"c342b131c0ff509c311c8feac49f0f4a48e97cedf5b37aa6a119cb42cdb8abcc","hash":"d14868392ebaa84440d0cc81c828337f235d209405b65525e2950b042584fbea"}`,
	`{"shareDataId":"n","cursor":"7-3","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"add","proposedData":-9,"accepted":false,"reason":"below zero","caller":{"subject":"ann","claims":{"role":"admin"}},"stateHash":"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d","previous":"d14868392ebaa84440d0cc81c828337f235d209405b65525e2950b042584fbea","hash":"feab47d53883954bbb4aec844df100a89db347d1ace7c24a5b1f344eccad8bc0"}`,
	`{"shareDataId":"n","cursor":"7-4","type":"updated","time":"2030-01-02T03:04:05.000000006Z","caller":{"subject":"ann","claims":{"role":"admin"}},"state":7,"stateHash":"7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451","previous":"feab47d53883954bbb4aec844df100a89db347d1ace7c24a5b1f344eccad8bc0","hash":"51ea5661a8588e9aa969da4d98c619835694e00b670e72ba3393ae5db6881229"}`,
	`{"shareDataId":"n","cursor":"7-5","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"add","proposedData":1,"accepted":true,"caller":{"subject":"ann","claims":{"role":"admin"}},"state":8,"stateHash":"2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3","previous":"51ea5661a8588e9aa969da4d98c619835694e00b670e72ba3393ae5db6881229","hash":"5345a2b77200264d0e8223aea728066c6f55220e00fc3a9d20ec189b86bfc5b6"}`,
	`{"shareDataId":"n","cursor":"7-6","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"add","proposedData":0,"accepted":true,"caller":{"subject":"ann","claims":{"role":"admin"}},"patch":[],"stateHash":"2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3","previous":"5345a2b77200264d0e8223aea728066c6f55220e00fc3a9d20ec189b86bfc5b6","hash":"83c8271e4f1a5c2c878577f69702a224ac4743292b479e761b5deef92af2651f"}`,
	`{"shareDataId":"n","cursor":"7-7","type":"removed","time":"2030-01-02T03:04:05.000000006Z","caller":{"subject":"ann","claims":{"role":"admin"}},"previous":"83c8271e4f1a5c2c878577f69702a224ac4743292b479e761b5deef92af2651f","hash":"879c2a91f1c2cb81ea3c6a96525e51bd55511979a7b7abac202bcfc25ee8df2c"}`,
}

// goldenBefore are such records as an earlier release wrote them, which did not record
// what a transaction changes.
var goldenBefore = []string{
	`{"shareDataId":"n","cursor":"7-1","type":"created","time":"2030-01-02T03:04:05.000000006Z","kind":"number","caller":{"subject":"ann","claims":{"role":"admin"}},"stateHash":"4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce","previous":"0000000000000000000000000000000000000000000000000000000000000000","hash":"5d2282c7217851e3dfed70264e99a65bed6b8161d31d7254e97dc46514d149fa"}`,
	`{"shareDataId":"n","cursor":"7-2","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"add","proposedData":2,"accepted":true,"idempotencyKey":"k","caller":{"subject":"ann","claims":{"role":"admin"}},"stateHash":"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d","previous":"5d2282c7217851e3dfed70264e99a65bed6b8161d31d7254e97dc46514d149fa","hash":"d771d11a17a80c38290daa21a69122a49370dd40d83e8fa5615d15943eae1a55"}`,
	`{"shareDataId":"n","cursor":"7-3","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"add","proposedData":-9,"accepted":false,"reason":"below zero","caller":{"subject":"ann","claims":{"role":"admin"}},"stateHash":"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d","previous":"d771d11a17a80c38290daa21a69122a49370dd40d83e8fa5615d15943eae1a55","hash":"3c4c4c94287b7a7f6b980337a6a90b55d05ba55b0cbc005d3236663d479a7ee8"}`,
	`{"shareDataId":"n","cursor":"7-4","type":"updated","time":"2030-01-02T03:04:05.000000006Z","caller":{"subject":"ann","claims":{"role":"admin"}},"stateHash":"7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451","previous":"3c4c4c94287b7a7f6b980337a6a90b55d05ba55b0cbc005d3236663d479a7ee8","hash":"5e8e05494b85e7cd4feac19965fd4a121b4584efa33dd37a91e58d29a02f957f"}`,
	`{"shareDataId":"n","cursor":"7-5","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"add","proposedData":1,"accepted":true,"caller":{"subject":"ann","claims":{"role":"admin"}},"stateHash":"2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3","previous":"5e8e05494b85e7cd4feac19965fd4a121b4584efa33dd37a91e58d29a02f957f","hash":"4019e58384616e80bb20b46df416514f5049bd4c3b54332e1358465a705ae153"}`,
	`{"shareDataId":"n","cursor":"7-6","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"add","proposedData":0,"accepted":true,"caller":{"subject":"ann","claims":{"role":"admin"}},"stateHash":"2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3","previous":"4019e58384616e80bb20b46df416514f5049bd4c3b54332e1358465a705ae153","hash":"8ed3b0c2ae4bd553ed219a80742cf315e0a7a6fa1ff13791e71fde0a7cf1dae1"}`,
	`{"shareDataId":"n","cursor":"7-7","type":"removed","time":"2030-01-02T03:04:05.000000006Z","caller":{"subject":"ann","claims":{"role":"admin"}},"previous":"8ed3b0c2ae4bd553ed219a80742cf315e0a7a6fa1ff13791e71fde0a7cf1dae1","hash":"776de41163c2ab80dd4fc8f908af21db7e83e46dea37da9cbd6f6690a03bc799"}`,
}

// goldenRejected is the record of rejectedEntry.
const goldenRejected = `{"shareDataId":"n","cursor":"7-2","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"buy","proposedData":{"count":3},"accepted":false,"reason":"no tickets <left>","code":"sold-out","details":{"left":0,"class":"\u003cB\u0026C\u003e"},"stateHash":"4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce","previous":"0100000000000000000000000000000000000000000000000000000000000000","hash":"d51d028ac3afd01c50bbf4a300df016e5d9ca81b407fc6e49ba537c6c1e37857"}`

// goldenContinued is the record of the third entry of restartedHistory.
const goldenContinued = `{"shareDataId":"n","cursor":"8-1","type":"created","time":"2030-01-02T03:04:05.000000006Z","kind":"number","continues":"7-2","state":5,"stateHash":"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d","previous":"d14868392ebaa84440d0cc81c828337f235d209405b65525e2950b042584fbea","hash":"7cedb3db7f9d9edaddf3043ab9a3347612233d579e623a4329901c5cb99bf6e3"}`

// rejectedEntry is a rejection with a code and details.
func rejectedEntry() Entry {
	e := Entry{
		ShareDataID: "n", Cursor: replay.Cursor{Epoch: 7, Revision: 2}, Type: EntryTransaction,
		Time: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), FunctionID: "buy", Data: json.RawMessage(`{"count":3}`),
		Code: "sold-out", Reason: "no tickets <left>", Details: json.RawMessage(`{ "left" : 0, "class": "<B&C>" }`),
		StateHash: HashState(json.RawMessage("3")),
	}
	e.seal(Hash{1})
	return e
}

// goldenProven is the record of provenEntry.
const goldenProven = `{"shareDataId":"n","cursor":"7-2","type":"transaction","time":"2030-01-02T03:04:05.000000006Z","functionId":"buy","proposedData":{"count":3},"accepted":true,"idempotencyKey":"k","proof":{"jws":"a..b"},"caller":{"subject":"ann"},"stateHash":"4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce","previous":"0100000000000000000000000000000000000000000000000000000000000000","hash":"b6dd2f8dac2fb23d674b721a1b477d26ad3b8698e7a522450f5d2e5952559ffc"}`

// provenEntry is a transaction with a proof.
func provenEntry() Entry {
	e := rejectedEntry()
	e.Accepted, e.Code, e.Reason, e.Details = true, "", "", nil
	e.IdempotencyKey, e.Proof, e.Caller = "k", json.RawMessage(`{ "jws": "a..b" }`), &Caller{Subject: "ann"}
	e.seal(Hash{1})
	return e
}

func TestRecord_Golden(t *testing.T) {
	history := append(someHistory("n", 7), rejectedEntry(), restartedHistory()[2], provenEntry())
	want := append(slices.Clone(golden), goldenRejected, goldenContinued, goldenProven)
	if len(history) != len(want) {
		t.Fatalf("%d entries, %d golden records", len(history), len(want))
	}
	for i, e := range history {
		if got := string(appendRecord(nil, &e)); got != want[i] {
			t.Errorf("record %d\n got %s\nwant %s", i, got, want[i])
		}
		// An auditor needs to know no more than this to check a hash.
		body, hash, _ := strings.Cut(want[i], `,"hash":"`)
		if sum := sha256.Sum256([]byte(body)); hash != hex.EncodeToString(sum[:])+`"}` {
			t.Errorf("record %d: the hash is not that of the text before it", i)
		}
	}
}

// fullEntry is an entry with a value in every field of a rejected transaction.
func fullEntry() Entry {
	return Entry{
		ShareDataID: "id", Cursor: replay.Cursor{Epoch: 7, Revision: 2}, Type: EntryTransaction,
		Time: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), Kind: "kind", FunctionID: "f",
		Data: json.RawMessage(`{"by":1}`), Code: "sold-out", Reason: "why", Details: json.RawMessage(`{"left":0}`), IdempotencyKey: "key", Proof: json.RawMessage(`{"jws":"a..b"}`),
		Caller: &Caller{Subject: "ann", Issuer: "i", Audience: []string{"a", "b"}, Claims: json.RawMessage(`[1]`)},
		Patch:  json.RawMessage(`[{"op":"remove","path":"/a"}]`), NewState: json.RawMessage(`{"a":1}`),
		StateHash: Hash{1}, Previous: Hash{2},
	}
}

func TestRecord_OfEarlierRelease(t *testing.T) {
	var history []Entry
	for i, record := range goldenBefore {
		e, err := ParseEntry([]byte(record))
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if known := e.Type == EntryRemoved || !e.Accepted && e.Type == EntryTransaction; e.RecordsEffect() != known {
			t.Errorf("record %d: its effect is known: %v", i, !known)
		}
		history = append(history, e)
	}
	if chain, err := Verify(sequence(history)); err != nil || chain.Last != history[len(history)-1].Cursor {
		t.Errorf("%+v, %v", chain, err)
	}
}

func TestHash_CoversEveryField(t *testing.T) {
	mutations := map[string][]func(*Entry){
		"ShareDataID":    {func(e *Entry) { e.ShareDataID = "id " }},
		"Cursor":         {func(e *Entry) { e.Cursor.Epoch++ }, func(e *Entry) { e.Cursor.Revision++ }},
		"Type":           {func(e *Entry) { e.Type = EntryUpdated }},
		"Time":           {func(e *Entry) { e.Time = e.Time.Add(1) }},
		"Kind":           {func(e *Entry) { e.Kind = "" }, func(e *Entry) { e.Kind = "kinds" }},
		"Continues":      {func(e *Entry) { e.Continues.Epoch = 6 }, func(e *Entry) { e.Continues.Revision = 9 }},
		"FunctionID":     {func(e *Entry) { e.FunctionID = "" }, func(e *Entry) { e.FunctionID = "g" }},
		"Data":           {func(e *Entry) { e.Data = nil }, func(e *Entry) { e.Data = json.RawMessage(`{"by":1.0}`) }},
		"Accepted":       {func(e *Entry) { e.Accepted = true }},
		"Reason":         {func(e *Entry) { e.Reason = "" }, func(e *Entry) { e.Reason = "Why" }},
		"Code":           {func(e *Entry) { e.Code = "" }, func(e *Entry) { e.Code = "sold" }},
		"Details":        {func(e *Entry) { e.Details = nil }, func(e *Entry) { e.Details = json.RawMessage(`{"left":1}`) }},
		"IdempotencyKey": {func(e *Entry) { e.IdempotencyKey = "" }, func(e *Entry) { e.IdempotencyKey = "yek" }},
		"Proof":          {func(e *Entry) { e.Proof = nil }, func(e *Entry) { e.Proof = json.RawMessage(`{"jws":"a..c"}`) }},
		"Caller": {
			func(e *Entry) { e.Caller = nil },
			func(e *Entry) { e.Caller.Subject = "bob" },
			func(e *Entry) { e.Caller.Issuer = "" },
			func(e *Entry) { e.Caller.Audience = nil },
			func(e *Entry) { e.Caller.Audience = []string{"a,b"} },
			func(e *Entry) { e.Caller.Audience = []string{"b", "a"} },
			func(e *Entry) { e.Caller.Claims = nil },
			func(e *Entry) { e.Caller.Claims = json.RawMessage(`[2]`) },
		},
		"Patch":     {func(e *Entry) { e.Patch = nil }, func(e *Entry) { e.Patch = json.RawMessage(`[{"op":"remove","path":"/b"}]`) }},
		"NewState":  {func(e *Entry) { e.NewState = nil }, func(e *Entry) { e.NewState = json.RawMessage(`{"a":2}`) }},
		"StateHash": {func(e *Entry) { e.StateHash[31]++ }},
		"Previous":  {func(e *Entry) { e.Previous[31]++ }},
	}
	want := fullEntry()
	wantHash := want.computeHash()
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Entry]()) {
		if field.Name == "Hash" {
			continue
		}
		if len(mutations[field.Name]) == 0 {
			t.Errorf("no mutation of %s is tried", field.Name)
		}
		for i, mutate := range mutations[field.Name] {
			e := fullEntry()
			mutate(&e)
			if e.computeHash() == wantHash {
				t.Errorf("mutation %d of %s does not change the hash", i, field.Name)
			}
		}
	}
}

func TestRecord_RoundTrip(t *testing.T) {
	text := []string{
		"plain", "", `quote " and \ backslash`, "\x00\x01\x1f\x7f control", "line\nbreak\ttab",
		"emoji 👩‍👩‍👧‍👦 and 日本語", "  separators", "<script>&amp;</script>", "\ufffd replaced", strings.Repeat("long ", 500),
	}
	raw := []string{
		`null`, `{"a" : [ 1 , 2 ]}`, `"<&>  "`, `"A\/"`, `1e400`, `0.10`, `123456789012345678901234567890`,
		"{\n\t\"a\": 1\n}", strings.Repeat("[", 500) + strings.Repeat("]", 500),
	}
	for i, s := range text {
		for j, r := range raw {
			for _, e := range []Entry{
				{Type: EntryCreated, Kind: s, StateHash: Hash{1}},
				{Type: EntryCreated, Kind: s, Continues: replay.Cursor{Epoch: uint64(j) + 1, Revision: 1<<64 - 1}, StateHash: Hash{1}},
				{Type: EntryTransaction, FunctionID: s, Data: json.RawMessage(r), Accepted: true, StateHash: Hash{1}},
				{Type: EntryTransaction, FunctionID: s, Data: json.RawMessage(r), Reason: s, IdempotencyKey: s, Proof: json.RawMessage(r), StateHash: Hash{1}},
				{Type: EntryTransaction, FunctionID: s, Data: json.RawMessage(r), Code: s, Reason: s, Details: json.RawMessage(r), StateHash: Hash{1}},
				{Type: EntryUpdated, StateHash: Hash{1}, Caller: &Caller{}},
				{Type: EntryUpdated, NewState: remarshalled(t, json.RawMessage(r)), StateHash: Hash{1}},
				{Type: EntryTransaction, Data: json.RawMessage(r), Accepted: true, Patch: remarshalled(t, json.RawMessage("["+r+"]")), StateHash: Hash{1}},
				{Type: EntryRemoved, Caller: &Caller{Subject: s, Issuer: s, Audience: []string{s}, Claims: json.RawMessage(r)}},
			} {
				e.ShareDataID, e.Cursor = s, replay.Cursor{Epoch: uint64(i) + 1, Revision: uint64(j) + 1}
				e.Time = time.Date(2030, 1, 2, 3, 4, 5, i*100, time.UTC)
				record := e.seal(Hash{2, byte(i)})
				got, err := decodeRecord(record)
				if err != nil {
					t.Fatalf("%s: %v", record, err)
				}
				want := e
				want.Data, want.Details, want.Proof = remarshalled(t, e.Data), remarshalled(t, e.Details), remarshalled(t, e.Proof)
				if e.Caller != nil {
					want.Caller = &Caller{
						Subject: e.Caller.Subject, Issuer: e.Caller.Issuer, Audience: e.Caller.Audience,
						Claims: remarshalled(t, e.Caller.Claims),
					}
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("got\n%+v\nwant\n%+v", got, want)
				}
				if again := remarshalled(t, record); string(appendRecord(nil, &got)) != string(record) || got.computeHash() != decoded(t, again).computeHash() {
					t.Fatalf("%s has another hash after it went through encoding/json", record)
				}
				if !utf8.Valid(record) || !json.Valid(record) {
					t.Fatalf("the record is not JSON in UTF-8: %q", record)
				}
			}
		}
	}
}

// remarshalled returns raw JSON as encoding/json writes it.
func remarshalled(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	if raw == nil {
		return nil
	}
	text, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decoded(t *testing.T, record []byte) *Entry {
	t.Helper()
	e, err := decodeRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	return &e
}

func TestRecord_TimeInUTC(t *testing.T) {
	e := fullEntry()
	elsewhere := e
	elsewhere.Time = e.Time.In(time.FixedZone("", 5*3600))
	if !bytes.Equal(appendRecord(nil, &e), appendRecord(nil, &elsewhere)) {
		t.Error("the time zone of the process changes the record")
	}
}

// White space around a value is not part of the value, so a record does not keep
// it, and the hash does not cover it.
func TestRecord_SpaceAroundData(t *testing.T) {
	for _, raw := range []string{" 1", "1 ", "\n{}\t", "\r\n [ 1 ] "} {
		e := fullEntry()
		e.Data, e.Details, e.Caller.Claims = json.RawMessage(raw), json.RawMessage(raw), json.RawMessage(raw)
		decoded, err := decodeRecord(e.seal(Hash{}))
		if err != nil || decoded.computeHash() != e.Hash {
			t.Errorf("%q: the hash does not fit any more after decoding (%v)", raw, err)
		}
	}
}

func TestRecord_BadIsRefused(t *testing.T) {
	good := fullEntry()
	record := string(appendRecord(nil, &good))
	if _, err := decodeRecord([]byte(record)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, old, new string }{
		{"another type", `"type":"transaction"`, `"type":"deleted"`},
		{"no type", `"type":"transaction",`, ``},
		{"a mistyped member", `"functionId":"f"`, `"functionId":5`},
		{"a cursor that is none", `"cursor":"7-2"`, `"cursor":"7-02"`},
		{"a continued cursor that is none", `"functionId":"f"`, `"continues":"7","functionId":"f"`},
		{"a short hash", `"previous":"02`, `"previous":"2`},
		{"a long hash", `"previous":"02`, `"previous":"0202`},
		{"a hash of other letters", `"previous":"02`, `"previous":"zz`},
		{"a time that is none", `2030-01-02`, `2030-13-02`},
		{"a time beyond what can be written in UTC", `2030-01-02T03:04:05.000000006Z`, `9999-12-31T23:59:59-01:00`},
		{"a time before what can be written in UTC", `2030-01-02T03:04:05.000000006Z`, `0000-01-01T00:00:00+01:00`},
		{"something after it", `}`, `}}`},
		{"an array", `{"shareDataId"`, `[{"shareDataId"`},
		{"nothing", record, ``},
		{"null", record, `null`},
	} {
		t.Run(test.name, func(t *testing.T) {
			bad := strings.Replace(record, test.old, test.new, 1)
			if bad == record {
				t.Fatalf("%q is not in %s", test.old, record)
			}
			if e, err := decodeRecord([]byte(bad)); !errors.Is(err, ErrBadRecord) {
				t.Errorf("got %+v, %v, want ErrBadRecord", e, err)
			}
			var e Entry
			if err := json.Unmarshal([]byte(bad), &e); err == nil && bad != "null" {
				t.Error("Entry.UnmarshalJSON takes it")
			}
		})
	}
}

func TestRecord_OfAnotherPosition(t *testing.T) {
	e := fullEntry()
	data := e.seal(Hash{})
	if _, err := entryFrom("id", replay.Entry{Cursor: e.Cursor, Data: data}); err != nil {
		t.Fatal(err)
	}
	if _, err := entryFrom("other", replay.Entry{Cursor: e.Cursor, Data: data}); !errors.Is(err, ErrBadRecord) {
		t.Errorf("under another id: %v", err)
	}
	if _, err := entryFrom("id", replay.Entry{Cursor: e.Cursor.Next(), Data: data}); !errors.Is(err, ErrBadRecord) {
		t.Errorf("at another position: %v", err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, record := range append(slices.Clone(golden), goldenRejected, goldenContinued, goldenProven) {
		f.Add([]byte(record))
	}
	f.Add([]byte(`{"type":"removed","time":"2030-01-02T03:04:05+01:00","caller":{},"proposedData": 1 }`))
	f.Add([]byte(`{"type":"transaction","time":"0000-01-01T00:00:00+23:59","shareDataId":"\ud800"}`))
	f.Add([]byte(`{"type":"created","time":"2030-01-02T03:04:05Z","continues":"0-0"}`))
	f.Add([]byte(`{"type":"created","time":"2030-01-02T03:04:05Z","continues":"0-7"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeRecord(data)
		if err != nil {
			if !errors.Is(err, ErrBadRecord) {
				t.Fatalf("%v is not an ErrBadRecord", err)
			}
			return
		}
		first := appendRecord(nil, &e)
		again, err := decodeRecord(first)
		if err != nil {
			t.Fatalf("%q was written as %q, which does not decode: %v", data, first, err)
		}
		if second := appendRecord(nil, &again); !bytes.Equal(first, second) {
			t.Fatalf("%q\nwas written as %q\nand then as    %q", data, first, second)
		}
		if e.computeHash() != again.computeHash() {
			t.Fatalf("%q: the hash changes by writing and reading", data)
		}
	})
}

func FuzzRecordRoundTrip(f *testing.F) {
	f.Add("id", "f", []byte(`{"by":1}`), "why", "key", "ann", int64(1), uint64(7), uint64(1), false)
	f.Add("\u2028", "\x00", []byte(" [ 1 ] "), "\"", "\\", "", int64(-1), uint64(0), uint64(1)<<63, true)
	f.Fuzz(func(t *testing.T, id, function string, data []byte, reason, key, subject string, nanos int64, epoch, revision uint64, accepted bool) {
		for _, text := range []string{id, function, reason, key, subject} {
			if !utf8.ValidString(text) {
				t.Skip()
			}
		}
		if validJSON(data) != nil {
			t.Skip()
		}
		e := Entry{
			Type: EntryTransaction, ShareDataID: id, FunctionID: function, Data: data, Accepted: accepted,
			IdempotencyKey: key, Caller: &Caller{Subject: subject, Claims: data},
			Time: time.Unix(0, nanos), Cursor: replay.Cursor{Epoch: epoch, Revision: revision},
		}
		if !accepted {
			e.Code, e.Reason, e.Details = key, reason, data
		}
		record := e.seal(Hash{3})
		got, err := decodeRecord(record)
		if err != nil {
			t.Fatalf("%q does not decode: %v", record, err)
		}
		if got.computeHash() != e.Hash || got.Hash != e.Hash {
			t.Fatalf("%q: another hash after decoding", record)
		}
		if !got.Time.Equal(e.Time) || string(got.Data) != string(remarshalled(t, data)) || got.Code != e.Code || got.Reason != e.Reason ||
			string(got.Details) != string(remarshalled(t, e.Details)) || got.ShareDataID != id {
			t.Fatalf("got %+v, want %+v", got, e)
		}
	})
}

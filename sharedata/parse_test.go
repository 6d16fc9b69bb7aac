package sharedata

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// awkwardEntry has values whose canonical text is not the usual one.
func awkwardEntry() Entry {
	e := Entry{
		ShareDataID: "<&>\u2028\x7f\"\\\b\f\n\r\t\x01 é😀", Cursor: replay.Cursor{Epoch: 1<<64 - 1, Revision: 1 << 63}, Type: EntryTransaction,
		Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), Data: json.RawMessage("null"), Details: json.RawMessage(" null "),
		Caller: &Caller{Claims: json.RawMessage("null")},
	}
	e.seal(Hash{})
	return e
}

func TestParseEntry_Canonical(t *testing.T) {
	awkward := awkwardEntry()
	for _, text := range append(slices.Clone(golden), goldenRejected, goldenContinued, string(appendRecord(nil, &awkward))) {
		buffer := []byte(text)
		e, err := ParseEntry(buffer)
		clear(buffer) // the entry must not share it
		if got := string(appendRecord(nil, &e)); err != nil || got != text {
			t.Errorf("%v\n got %s\nwant %s", err, got, text)
		}
		var other Entry
		if err := json.Unmarshal([]byte(text), &other); err != nil || !reflect.DeepEqual(e, other) {
			t.Errorf("UnmarshalJSON returns another entry: %+v, %v", other, err)
		}
	}
}

func TestParseEntry_OneByteChanged(t *testing.T) {
	for _, text := range []string{golden[0], goldenRejected, goldenContinued} {
		for i := range text {
			for bit := range 8 {
				changed := []byte(text)
				changed[i] ^= 1 << bit
				if e, err := ParseEntry(changed); !errors.Is(err, ErrBadRecord) && !errors.Is(err, ErrChainBroken) {
					t.Fatalf("byte %d, bit %d: %+v, %v", i, bit, e, err)
				}
			}
		}
	}
}

// Texts that a lenient reader takes for the entry.
func TestParseEntry_NotCanonical(t *testing.T) {
	replace := func(old, replacement string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, replacement, 1) }
	}
	for name, test := range map[string]struct {
		change func(string) string
		reason string // a part of the error
	}{
		"space before":          {func(s string) string { return " " + s }, "at byte 1 "},
		"space after":           {func(s string) string { return s + "\t" }, "instead of \"\""},
		"space within":          {replace(`"cursor":`, `"cursor": `), "at 7-2 is not canonical: at byte 29"},
		"unknown member":        {replace(`,"previous"`, `,"more":1,"previous"`), "at 7-2 is not canonical"},
		"repeated member":       {replace(`"accepted":true`, `"accepted":true,"accepted":true`), "duplicate"},
		"repeated unknown name": {replace(`"accepted":true`, `"accepted":true,"a":1,"a":1`), "duplicate"},
		"another order":         {replace(`"shareDataId":"n","cursor":"7-2"`, `"cursor":"7-2","shareDataId":"n"`), "at 7-2 is not canonical: at byte 3"},
		"optional but empty":    {replace(`"idempotencyKey":"k"`, `"idempotencyKey":""`), "is not canonical"},
		"missing member":        {replace(`,"accepted":true`, ``), "is not canonical"},
		"member of rejections":  {replace(`"accepted":true`, `"accepted":true,"reason":""`), "is not canonical"},
		"member in other case":  {replace(`"time"`, `"Time"`), "is not canonical"},
		"escaped letter":        {replace(`"n"`, `"\u006e"`), "is not canonical"},
		"escaped name":          {replace(`"type"`, `"typ\u0065"`), "is not canonical"},
		"upper-case hash":       {func(s string) string { return s[:len(s)-8] + strings.ToUpper(s[len(s)-8:]) }, "is not canonical"},
		"time zone":             {replace("03:04:05.000000006Z", "04:04:05.000000006+01:00"), "is not canonical"},
		"zeros in the time":     {replace("000000006Z", "0000000060Z"), "not the record"},
		"leading zero":          {replace(`"7-2"`, `"07-2"`), "not a cursor"},
		"two values":            {func(s string) string { return s + s }, "after top-level value"},
		"null":                  {func(string) string { return "null" }, "its type is"},
		"nothing":               {func(string) string { return "" }, "EOF"},
		"deep":                  {replace(`"proposedData":2`, `"proposedData":`+strings.Repeat("[", 1e6)), "depth"},
	} {
		text := test.change(golden[1])
		if _, err := ParseEntry([]byte(text)); text == golden[1] || !errors.Is(err, ErrBadRecord) || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: got %v, want %q", name, err, test.reason)
		}
	}
}

func TestParseEntry_ChangedContents(t *testing.T) {
	_, err := ParseEntry([]byte(strings.Replace(golden[1], `"proposedData":2`, `"proposedData":20`, 1)))
	broken, ok := errors.AsType[*ChainError](err)
	if !ok || broken.Cursor != (replay.Cursor{Epoch: 7, Revision: 2}) {
		t.Errorf("got %v", err)
	}
}

package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

func TestDecode_RawValuesAlias(t *testing.T) {
	frame := []byte(`{"v":1,"type":"propose","shareDataId":"s","functionId":"f","proposedData":{"by":1},"correlationId":"c","proof":[1]}`)
	decoded, err := DecodeClient(frame, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m := decoded.(*Propose)
	for name, raw := range map[string][]byte{`{"by":1}`: m.ProposedData, `[1]`: m.Proof} {
		if at := strings.Index(string(frame), name); unsafe.SliceData(raw) != &frame[at] {
			t.Errorf("%s is a copy, not the bytes at %d", name, at)
		}
		if cap(raw) != len(raw) {
			t.Errorf("%s has room for %d more bytes: appending to it would overwrite the frame", raw, cap(raw)-len(raw))
		}
	}
	clear(frame)
	if m.ShareDataID != "s" || m.FunctionID != "f" || m.CorrelationID != "c" {
		t.Errorf("the strings changed with the frame: %+v", m)
	}
}

func TestDecode_RawValuesVerbatim(t *testing.T) {
	for _, raw := range []string{`null`, `0`, `-0.00e+00`, `"\u0041\/\ud83d\ude00"`, "{ \"b\" : 1 ,\n\t\"a\" : [ ] }", `[1,[2,[3]]]`, `9999999999999999999999`} {
		frame := fmt.Appendf(nil, `{"v":1,"type":"state","shareDataId":"s","lastTransactionId":null,"currentState" : %s }`, raw)
		decoded, err := DecodeServer(frame, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if got := decoded.(*State).CurrentState; string(got) != raw {
			t.Errorf("got %s, want %s", got, raw)
		}
		if encoded := decoded.AppendTo(nil); !strings.Contains(string(encoded), `"currentState":`+raw+`,`) {
			t.Errorf("encoded %s, want %s in it", encoded, raw)
		}
	}
}

func TestDecode_NullState(t *testing.T) {
	for member, want := range map[string]string{``: ``, `,"currentState":null`: `null`} {
		frame := []byte(`{"v":1,"type":"transaction","shareDataId":"s","transactionId":"t","accepted":true` + member + `}`)
		decoded, err := DecodeServer(frame, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := decoded.(*Transaction).CurrentState; string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s: %#v, want %q", frame, got, want)
		}
	}
}

func TestDecodeError_CorrelationID(t *testing.T) {
	long := strings.Repeat("x", 1025)
	tests := []struct{ name, frame, want string }{
		{"field", `{"v":1,"type":"propose","correlationId":"c-1","shareDataId":7}`, "c-1"},
		{"field before it", `{"v":1,"type":"propose","shareDataId":7,"correlationId":"c-1"}`, "c-1"},
		{"type", `{"v":1,"type":"x","correlationId":"c\u002d1"}`, "c-1"},
		{"version", `{"v":2,"type":"x","correlationId":"c-1"}`, "c-1"},
		{"syntax after it", `{"correlationId":"c-1",`, "c-1"},
		{"syntax before it", `{,"correlationId":"c-1"}`, ""},
		{"itself no string", `{"v":2,"correlationId":1}`, ""},
		{"itself too long", `{"v":2,"correlationId":"` + long + `"}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := DecodeClient([]byte(test.frame), Limits{})
			var failure *DecodeError
			if !errors.As(err, &failure) {
				t.Fatalf("%v, want a *DecodeError", err)
			}
			if failure.CorrelationID != test.want {
				t.Errorf("correlationId %q, want %q", failure.CorrelationID, test.want)
			}
		})
	}
}

func TestDecodeError_IsShort(t *testing.T) {
	name := strings.Repeat("n/~\\n", 10_000)
	for _, frame := range []string{
		`{"v":1,"type":"` + name + `"}`,
		`{"` + name + `":x}`,
		`{"a":{"` + name + `":[{"` + name + `":1,"` + name + `":2}]}}`,
		strings.Repeat(`{"`+name+`":`, 20) + `x`,
		`{"v":1,"type":"subscribe","shareDataId":"s","` + name + `":` + strings.Repeat("[", 500),
		"{\"v\":1,\"\u0001\":1}",
		`{"v":1,"type":"ping","correlationId":"` + strings.Repeat(`\u0000`, 2000) + `"}`,
	} {
		_, err := DecodeClient([]byte(frame), Limits{MaxBytes: -1})
		if err == nil {
			t.Fatalf("%.60s is taken", frame)
		}
		if text := err.Error(); len(text) > 500 || strings.ContainsAny(text, "\n\x00\x01") {
			t.Errorf("%d bytes: %q", len(text), text)
		}
	}
}

// A frame from the pool must keep nothing of the frame before.
func TestDecode_Concurrent(t *testing.T) {
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 300 {
				id := fmt.Sprintf("%d/%d \"é\"", worker, i)
				want := &Propose{ShareDataID: id, FunctionID: id + "f", ProposedData: []byte(fmt.Sprintf(`{"n":%d}`, i)), CorrelationID: id + "c"}
				if i%2 == 0 {
					want.IdempotencyKey = id + "k"
				}
				if i%3 == 0 {
					if _, err := DecodeClient([]byte(`{"v":1,"type":"ping","proof":1,"idempotencyKey":"left over"`), Limits{}); err == nil {
						t.Error("a truncated frame is taken")
					}
				}
				got, err := DecodeClient(want.AppendTo(nil), Limits{})
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%v: got %+v, want %+v", err, got, want)
				}
			}
		})
	}
	group.Wait()
}

func TestDecode_Allocations(t *testing.T) {
	// The message itself and one for each string.
	tests := []struct {
		message message
		want    float64
	}{
		{&Propose{ShareDataID: "orders", FunctionID: "place", ProposedData: payload(300), CorrelationID: "c-1", IdempotencyKey: "key"}, 5},
		{&Subscribe{ShareDataID: "orders", Since: "e-1"}, 3},
		{&Ping{CorrelationID: "c-1"}, 2},
		{&Transaction{ShareDataID: "orders", TransactionID: "e-2", CurrentState: payload(300), Revision: 2, FunctionID: "place"}, 4},
	}
	for _, test := range tests {
		frame := test.message.AppendTo(nil)
		got := testing.AllocsPerRun(200, func() {
			if _, err := decodeLike(test.message, frame); err != nil {
				t.Fatal(err)
			}
		})
		if got > test.want && !raceEnabled {
			t.Errorf("%T: %v allocations, want %v", test.message, got, test.want)
		}
	}
}

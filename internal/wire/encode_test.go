package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendTo_ReusedBuffer(t *testing.T) {
	buffer := make([]byte, 0, 64<<10)
	for name, m := range goldenFrames {
		if got := testing.AllocsPerRun(100, func() { buffer = m.AppendTo(buffer[:0]) }); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func TestAppendTo_OneAllocation(t *testing.T) {
	m := &Transaction{ShareDataID: "orders", TransactionID: "1a2b3c-7", CurrentState: payload(10_000), Revision: 7, FunctionID: "place"}
	if got := testing.AllocsPerRun(100, func() { m.AppendTo(nil) }); got != 1 && !raceEnabled {
		t.Errorf("%v allocations", got)
	}
}

func TestAppendTo_Appends(t *testing.T) {
	for name, m := range goldenFrames {
		alone := m.AppendTo(nil)
		if got := m.AppendTo([]byte("before ")); string(got) != "before "+string(alone) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAppendTo_Envelope(t *testing.T) {
	for name, m := range goldenFrames {
		typeName := strings.ToLower(reflect.TypeOf(m).Elem().Name())
		if typeName == "proposalresult" {
			typeName = TypeProposalResult
		}
		if want := `{"v":1,"type":"` + typeName + `",`; !bytes.HasPrefix(m.AppendTo(nil), []byte(want)) {
			t.Errorf("%s: %s, want it to begin with %s", name, m.AppendTo(nil), want)
		}
	}
}

func TestAppendTo_InvalidUTF8(t *testing.T) {
	const (
		broken   = "a\xffb\xc3\x28\xed\xa0\x80\xf0\x9f\x98"
		repaired = "a\ufffdb\ufffd(\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd" // one for each byte
	)
	messages := []struct{ broken, want message }{
		{
			&Propose{ShareDataID: broken, FunctionID: broken, ProposedData: []byte("1"), CorrelationID: broken, IdempotencyKey: broken},
			&Propose{ShareDataID: repaired, FunctionID: repaired, ProposedData: []byte("1"), CorrelationID: repaired, IdempotencyKey: repaired},
		},
		{&Subscribe{ShareDataID: broken, Since: broken}, &Subscribe{ShareDataID: repaired, Since: repaired}},
		{
			&State{ShareDataID: broken, CurrentState: []byte("1"), LastTransactionID: broken, Cursor: broken},
			&State{ShareDataID: repaired, CurrentState: []byte("1"), LastTransactionID: repaired, Cursor: repaired},
		},
		{
			&Error{Code: broken, Message: broken, CorrelationID: broken, ShareDataID: broken},
			&Error{Code: repaired, Message: repaired, CorrelationID: repaired, ShareDataID: repaired},
		},
	}
	for _, m := range messages {
		frame := m.broken.AppendTo(nil)
		if !utf8.Valid(frame) {
			t.Errorf("not UTF-8: %q", frame)
		}
		got, err := decodeLike(m.broken, frame)
		if err != nil || !reflect.DeepEqual(got, m.want) {
			t.Errorf("%v: got %+v, want %+v", err, got, m.want)
		}
	}
}

func TestAppendTo_EmptyRawValues(t *testing.T) {
	empty := json.RawMessage{}
	tests := []struct {
		message message
		want    string
	}{
		{&Propose{ShareDataID: "s", FunctionID: "f", CorrelationID: "c"}, `"proposedData":null`},
		{&Propose{ShareDataID: "s", FunctionID: "f", CorrelationID: "c", ProposedData: empty, Proof: empty}, `"proposedData":null,"correlationId":"c"}`},
		{&State{ShareDataID: "s"}, `"currentState":null`},
		{&Transaction{ShareDataID: "s", TransactionID: "t", CurrentState: empty}, `"accepted":false}`},
		{&Lifecycle{ShareDataID: "s", Event: EventUpdated, CurrentState: empty}, `"event":"updated"}`},
	}
	for _, test := range tests {
		frame := test.message.AppendTo(nil)
		if !strings.Contains(string(frame), test.want) {
			t.Errorf("%s, want %s in it", frame, test.want)
		}
		if _, err := decodeLike(test.message, frame); err != nil {
			t.Errorf("%s: %v", frame, err)
		}
	}
}

package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/safe-go/safe/schemas/codes"
)

// payload returns JSON of exactly size bytes that looks like a typical state.
func payload(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for i := 0; ; i++ {
		item := fmt.Sprintf(`{"id":%d,"name":"item %d","done":false,"at":[%d.5,-2]}`, i, i, i)
		if b.Len()+len(item)+len(`,],"pad":""}`) > size {
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item)
	}
	b.WriteString(`],"pad":"`)
	if b.Len()+len(`"}`) > size {
		return []byte(`"` + strings.Repeat("x", size-2) + `"`)
	}
	return []byte(b.String() + strings.Repeat("x", size-b.Len()-2) + `"}`)
}

// benchmarkMessages are messages of each type; fill makes one n bytes longer.
func benchmarkMessages() []struct {
	name string
	fill func(n int) message
} {
	text := func(n int) string { return strings.Repeat("x", n) }
	return []struct {
		name string
		fill func(n int) message
	}{
		{TypeSubscribe, func(n int) message { return &Subscribe{ShareDataID: "orders", Since: text(min(n, maxCorrelationID))} }},
		{TypeUnsubscribe, func(n int) message { return &Unsubscribe{ShareDataID: text(min(n, maxCorrelationID))} }},
		{TypePropose, func(n int) message {
			return &Propose{ShareDataID: "orders", FunctionID: "place", ProposedData: payload(n), CorrelationID: "0b7c5a52-4a3e-4d8e-9b8e-1f0c8d1f7a55", IdempotencyKey: "k-1"}
		}},
		{TypePing, func(n int) message { return &Ping{CorrelationID: text(min(n, maxCorrelationID))} }},
		{TypeState, func(n int) message {
			return &State{ShareDataID: "orders", CurrentState: payload(n), LastTransactionID: "1a2b3c-41", Cursor: "1a2b3c-42", Revision: 42, HasReplaying: true}
		}},
		{TypeTransaction, func(n int) message {
			return &Transaction{ShareDataID: "orders", TransactionID: "1a2b3c-42", Accepted: true, CurrentState: payload(n), Revision: 42, FunctionID: "place"}
		}},
		{TypeLifecycle, func(n int) message {
			return &Lifecycle{ShareDataID: "orders", Event: EventUpdated, CurrentState: payload(n), Cursor: "1a2b3c-42", Revision: 42}
		}},
		{TypeProposalResult, func(n int) message { return &ProposalResult{CorrelationID: "c-1", Error: text(n)} }},
		{TypePong, func(n int) message { return &Pong{CorrelationID: text(min(n, maxCorrelationID))} }},
		{TypeError, func(n int) message {
			return &Error{Code: codes.InvalidMessage, Message: text(n), CorrelationID: "c-1"}
		}},
	}
}

func forEachFrame(b *testing.B, run func(b *testing.B, message message, frame []byte)) {
	for _, m := range benchmarkMessages() {
		for _, size := range []int{256, 16 << 10} {
			message := m.fill(size - len(m.fill(64).AppendTo(nil)) + 64)
			frame := message.AppendTo(nil)
			// Ids, and so some frames, have an upper bound.
			b.Run(fmt.Sprintf("%s/%dB", m.name, len(frame)), func(b *testing.B) {
				b.SetBytes(int64(len(frame)))
				b.ReportAllocs()
				run(b, message, frame)
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	forEachFrame(b, func(b *testing.B, message message, frame []byte) {
		_, client := message.(ClientMessage)
		for b.Loop() {
			var err error
			if client {
				_, err = DecodeClient(frame, Limits{})
			} else {
				_, err = DecodeServer(frame, Limits{})
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	forEachFrame(b, func(b *testing.B, message message, frame []byte) {
		buffer := make([]byte, 0, 32<<10)
		for b.Loop() {
			buffer = message.AppendTo(buffer[:0])
		}
	})
}

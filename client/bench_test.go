package client

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
)

// BenchmarkDelivery measures live transactions from a server's socket to the
// body of a loop over Events, on a loopback connection.
func BenchmarkDelivery(b *testing.B) {
	for _, size := range []int{256, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			state := []byte(`"` + strings.Repeat("x", size-2) + `"`)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ws, err := websocket.Accept(w, r, nil)
				if err != nil {
					return
				}
				defer ws.CloseNow()
				ctx := r.Context()
				if _, _, err := ws.Read(ctx); err != nil {
					return
				}
				ctx = ws.CloseRead(ctx)
				ws.Write(ctx, websocket.MessageText, snapshot("e", 1, 0).AppendTo(nil))
				var frame []byte
				for revision := 2; revision < b.N+2; revision++ {
					frame = (&wire.Transaction{ShareDataID: "x", TransactionID: numbered(revision), Revision: uint64(revision),
						Accepted: true, CurrentState: state}).AppendTo(frame[:0])
					if ws.Write(ctx, websocket.MessageText, frame) != nil {
						return
					}
				}
				<-ctx.Done()
			}))
			defer server.Close()
			c, err := Dial(context.Background(), server.URL, &Options{EventBuffer: 1 << 30, EventBufferBytes: 1 << 40})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			left := b.N + 1
			for _, err := range c.Subscribe("x").Events(context.Background()) {
				if err != nil {
					b.Fatal(err)
				}
				if left--; left == 0 {
					break
				}
			}
		})
	}
}

// BenchmarkPatch measures, for a patch on a state of about 256 KiB, what reading the
// frame costs and what the consumer spends to compute the state.
func BenchmarkPatch(b *testing.B) {
	b.ReportAllocs()
	u := catchUp{asked: features{patches: true}}
	u.begin(position{})
	first := wholeSnapshot(1, 0)
	first.CurrentState = largeObject()
	first.StateHash = hashOf(first.CurrentState)
	u.receive(first)
	var reading time.Duration
	revision := 1
	for b.Loop() {
		revision++
		frame := patch(revision)
		frame.Patch = fmt.Appendf(nil, `[{"op":"replace","path":"/m%04d/n","value":%d}]`, revision%2000, revision)
		began := time.Now()
		it := u.receive(frame).items[0]
		reading += time.Since(began)
		if err := it.complete(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(reading.Nanoseconds())/float64(b.N), "ns-reading/op")
}

package client

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
)

func TestSlowConsumer_Bounded(t *testing.T) {
	large := func(revision int) *wire.Transaction {
		frame := transaction(revision)
		frame.CurrentState = json.RawMessage(`"` + strings.Repeat("x", 3000) + `"`)
		return frame
	}
	tests := []struct {
		name    string
		options Options
	}{
		{"by count", Options{EventBuffer: 3}},
		{"by bytes", Options{EventBufferBytes: 8000}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				c, p := f.connect(&test.options)
				slow, other := c.Subscribe("x"), follow(t, c.Subscribe("y"))
				p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
				p.send(snapshot("e", 5, 0), of("y", snapshot("e", 5, 0)))
				other.expect("state e-5")
				for revision := 6; revision <= 20; revision++ {
					p.send(large(revision), of("y", transaction(revision)))
					other.expect("tx " + numbered(revision))
				}
				p.expect(unsubscribeFrom("x"))
				p.quiet()
				c.mu.Lock()
				if len(slow.buffer) != 3 || slow.buffered > 8000 {
					t.Errorf("%d events of %d bytes are buffered", len(slow.buffer), slow.buffered)
				}
				c.mu.Unlock()

				s := follow(t, slow)
				s.expect("state e-5", "tx e-6", "tx e-7")
				p.expect(subscribeTo("x", "e-7"))
				p.send(snapshot("e", 9, 2), replayed(8), replayed(9))
				s.expect("state e-9 resumed +2", "tx e-8 replayed", "tx e-9 replayed")
				p.send(transaction(10))
				s.expect("tx e-10")
				if got := len(f.attempts()); got != 1 {
					t.Errorf("%d connections", got)
				}
			})
		})
	}
}

func TestSlowConsumer_PausedOverReconnect(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{EventBuffer: 2})
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(6), transaction(7))
		p.expect(unsubscribeFrom("x"))
		p.cut()
		p = f.accept()
		p.quiet()
		s := follow(t, sub)
		s.expect("state e-5", "tx e-6")
		p.expect(subscribeTo("x", "e-6"))
		p.send(snapshot("e", 7, 1), replayed(7))
		s.expect("state e-7 resumed +1", "tx e-7 replayed")
	})
}

func TestSlowConsumer_LargeEvent(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, s := f.subscribe(&Options{EventBufferBytes: 10})
		p.send(transaction(6))
		s.expect("tx e-6")
	})
}

package realtime_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

// maskedHeader is the header of a client's frame of any length, true or not, with
// the masking key 0.
func maskedHeader(first byte, length uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length), 0, 0, 0, 0)
}

// TestHostileFrames sends frames that cost their sender more than the server: each
// closes its connection and makes the server allocate little, and a neighbour's
// round trips go on.
func TestHostileFrames(t *testing.T) {
	const mib = 1 << 20
	piece := bytes.Repeat([]byte("x"), mib)
	ping := `{"v":1,"type":"ping","correlationId":"a"}`
	text := func(s string) func(*rawPeer) { return func(p *rawPeer) { p.Write(masked(0x81, s)) } }
	propose := func(data string) string {
		return `{"v":1,"type":"propose","shareDataId":"c","functionId":"add","correlationId":"a","proposedData":` + data + `}`
	}
	ts := serve(t, nil)
	ts.create("c")
	n, check := ts.startNeighbour()
	for _, test := range []struct {
		name   string
		attack func(p *rawPeer)
		close  int // 0: the connection ends without a close frame
	}{
		{"100 MB in one frame", func(p *rawPeer) {
			p.Write(maskedHeader(0x81, 100*mib))
			p.repeat(piece, 100)
		}, codes.CloseInvalidMessage},
		{"100 MB in fragments", func(p *rawPeer) {
			p.Write(masked(0x01, "{"))
			p.repeat(append(maskedHeader(0x00, mib), piece...), 100)
		}, codes.CloseInvalidMessage},
		{"2^63 bytes announced", func(p *rawPeer) { p.Write(maskedHeader(0x81, 1<<63)) }, 0},
		{"2^63-1 bytes announced", func(p *rawPeer) {
			p.Write(maskedHeader(0x81, 1<<63-1))
			p.repeat(piece, 2)
		}, codes.CloseInvalidMessage},
		{"compressed, not negotiated", func(p *rawPeer) { p.Write(masked(0xC1, ping)) }, 1002},
		{"fragmented ping", func(p *rawPeer) { p.Write(masked(0x09, "")) }, 1002},
		{"long pong", func(p *rawPeer) { p.Write(maskedHeader(0x8A, 1<<40)) }, 1002},
		{"message inside a fragmented one", func(p *rawPeer) {
			p.Write(masked(0x01, "{"))
			p.Write(masked(0x81, ping))
		}, 1002},
		{"close frame of one byte", func(p *rawPeer) { p.Write(masked(0x88, "x")) }, 1002},
		{"frames after close", func(p *rawPeer) {
			p.Write(masked(0x88, "\x03\xe8"))
			p.repeat(masked(0x81, propose(`{"by":1}`)), 1000)
		}, codes.CloseNormal},
		{"unmasked", func(p *rawPeer) { p.Write(append([]byte{0x81, byte(len(ping))}, ping...)) }, 0},
		{"not UTF-8", text("{\"v\":1,\"type\":\"ping\",\"correlationId\":\"\xff\xfe\"}"), codes.CloseInvalidMessage},
		{"lone surrogate", text(`{"v":1,"type":"ping","correlationId":"\ud800"}`), codes.CloseInvalidMessage},
		{"deep", text(propose(strings.Repeat("[", mib/2))), codes.CloseInvalidMessage},
		{"deep and closed", text(propose(strings.Repeat("[", 1<<18) + strings.Repeat("]", 1<<18))), codes.CloseInvalidMessage},
		{"huge exponent as version", text(`{"v":1e999999,"type":"ping","correlationId":"a"}`), codes.CloseInvalidMessage},
		{"100,000 digits as version", text(`{"v":1` + strings.Repeat("0", 100_000) + `,"type":"ping","correlationId":"a"}`), codes.CloseInvalidMessage},
		{"100,000 zeros as version", text(`{"v":0.` + strings.Repeat("0", 100_000) + `1e100001,"type":"ping","correlationId":"a","v":2}`), codes.CloseInvalidMessage},
		{"duplicate keys", text(propose(`{"by":1,"by":2}`)), codes.CloseInvalidMessage},
		{"100,000 members", text(propose(`{"a":1` + strings.Repeat(`,"a":1`, 100_000) + `}`)), codes.CloseInvalidMessage},
		{"long id", text(`{"v":1,"type":"subscribe","shareDataId":"` + strings.Repeat("x", mib/2) + `"}`), codes.CloseInvalidMessage},
		{"long name", text(`{"v":1,"type":"ping","` + strings.Repeat("x", mib/2) + `":}`), codes.CloseInvalidMessage},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := ts.dialRaw()
			p.T = t
			before, trips := allocated(), n.trips.Load()
			go test.attack(p)
			p.SetReadDeadline(time.Now().Add(testTimeout))
			frames, code := p.countFrames()
			if code != test.close || frames > 1 {
				t.Errorf("close code %d after %d frames, want %d after at most an error", code, frames, test.close)
			}
			n.waitTrips(1)
			// Of which a round trip takes a few KiB, and reading a message of 1 MiB 4 MiB.
			if cost := allocated() - before - 64<<10*(n.trips.Load()-trips); cost > 8*mib && !realtime.RaceEnabled {
				t.Errorf("%d MiB allocated", cost/mib)
			}
		})
	}
	check()
}

// Numbers that no Go number holds reach the function as invalid input, with a
// bounded text.
func TestHostileNumbers(t *testing.T) {
	ts := serve(t, &realtime.Options{MessageTimeout: -1})
	ts.create("c")
	p := ts.dial()
	for _, number := range []string{"1e999999", "-1e-999999999999", strings.Repeat("9", 100_000), "0." + strings.Repeat("0", 100_000) + "1"} {
		p.propose("c", "add", `{"by":`+number+`}`, "a")
		r := want[*wire.ProposalResult](p)
		if r.Code != codes.InvalidInput || len(r.Error) > 3000 {
			t.Errorf("%.20s: %.100s with %d bytes of text", number, r.Code, len(r.Error))
		}
	}
}

package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// handshake is a client's (RFC 6455 section 4.1).
const handshake = "GET /realtime HTTP/1.1\r\nHost: anybody\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// attack is one kind of hostile connection.
type attack struct {
	name string
	// begin is sent first, after the handshake unless raw is set. step is then sent
	// at every tick; nil sends nothing.
	begin []byte
	step  func(tick int) []byte
	raw   bool
	// deaf connections never read.
	deaf bool
}

// masked is a client's frame (RFC 6455 section 5.2) with the masking key 0.
func masked(first byte, payload string) []byte {
	var b []byte
	if n := len(payload); n < 126 {
		b = append(b, first, 0x80|byte(n), 0, 0, 0, 0)
	} else {
		b = header(first, uint64(n))
	}
	return append(b, payload...)
}

// header announces a payload of any length.
func header(first byte, length uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length), 0, 0, 0, 0)
}

func text(payload string) []byte { return masked(0x81, payload) }

func always(frame []byte) func(int) []byte { return func(int) []byte { return frame } }

// many returns n frames of consecutive numbers, others at every tick.
func many(n int, format string) func(int) []byte {
	return func(tick int) (all []byte) {
		for i := range n {
			all = append(all, text(fmt.Sprintf(format, tick*n+i))...)
		}
		return all
	}
}

// attacks are all kinds. Each sends a few KiB at a tick, or less: the volume of an
// attack must not stand for its harm, since the attackers share the machine.
func attacks() []attack {
	const kib = 1 << 10
	ping := `{"v":1,"type":"ping","correlationId":"a"}`
	propose := func(data string) []byte {
		return text(`{"v":1,"type":"propose","shareDataId":"none","functionId":"f","correlationId":"a","proposedData":` + data + `}`)
	}
	subscribe := `{"v":1,"type":"subscribe","shareDataId":"counter-0"}`
	fill := bytes.Repeat([]byte(" "), 64*kib)
	once := func(name string, frame []byte) attack { return attack{name: name, step: always(frame)} }
	return []attack{
		{name: "slow handshake", raw: true, begin: []byte(handshake[:20]), step: func(tick int) []byte { return []byte(handshake[20+tick : 21+tick]) }},
		{name: "endless header", raw: true, begin: []byte(handshake[:20]), step: always([]byte("X-Fill: " + strings.Repeat("x", 4*kib) + "\r\n"))},
		{name: "garbage instead of HTTP", raw: true, step: always(bytes.Repeat([]byte{0x16, 3, 1, 0xFF}, kib))},
		{name: "half-open"},
		{name: "one byte at a time", step: func(tick int) []byte { b := text(ping); return b[tick%len(b) : tick%len(b)+1] }},
		{name: "never reads what it asks for", deaf: true, step: many(100, `{"v":1,"type":"ping","correlationId":"%d"}`)},
		{name: "never reads what it is subscribed to", deaf: true, begin: text(subscribe)},
		once("ping flood", bytes.Repeat(masked(0x89, "are you there?"), 300)),
		once("pong flood", bytes.Repeat(masked(0x8A, ""), 300)),
		once("message flood", bytes.Repeat(text(ping), 300)),
		once("subscribe storm", bytes.Repeat(append(text(subscribe), text(`{"v":1,"type":"unsubscribe","shareDataId":"counter-0"}`)...), 20)),
		{name: "ids to subscribe to", step: many(40, `{"v":1,"type":"subscribe","shareDataId":"id-%d","keepConnection":true}`)},
		{name: "ids to propose to", step: many(40, `{"v":1,"type":"propose","shareDataId":"id-%d","functionId":"f","proposedData":1,"correlationId":"a"}`)},
		{name: "100 MB in one frame", begin: header(0x81, 100<<20), step: always(fill)},
		{name: "100 MB in fragments", begin: masked(0x01, "{"), step: always(append(header(0x00, uint64(len(fill))), fill...))},
		{name: "empty fragments", begin: masked(0x01, "{"), step: always(bytes.Repeat(masked(0x00, ""), 100))},
		{name: "2^63 bytes announced", step: always(header(0x81, 1<<63))},
		once("compressed, not negotiated", masked(0xC1, ping)),
		once("reserved bits", masked(0xB1, ping)),
		once("unknown opcode", masked(0x83, ping)),
		once("fragmented ping", masked(0x09, "")),
		once("unmasked", append([]byte{0x81, byte(len(ping))}, ping...)),
		once("frames after close", append(masked(0x88, "\x03\xe8"), bytes.Repeat(text(ping), 50)...)),
		once("not UTF-8", text("{\"v\":1,\"type\":\"ping\",\"correlationId\":\"\xff\"}")),
		once("deep", propose(strings.Repeat("[", 8*kib))),
		once("huge exponent", text(`{"v":1e999999,"type":"ping","correlationId":"a"}`)),
		once("many digits", propose(strings.Repeat("9", 8*kib))),
		once("duplicate keys", propose(`{"by":1,"by":2}`)),
		once("unknown ShareData", text(`{"v":1,"type":"subscribe","shareDataId":"none"}`)),
	}
}

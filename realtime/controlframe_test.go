package realtime

import (
	"bytes"
	"testing"

	"github.com/coder/websocket"
)

func TestControlFrame(t *testing.T) {
	mask := []byte{1, 2, 3, 4}
	masked := func(first byte, payload string) []byte {
		frame := append([]byte{first, 0x80 | byte(len(payload))}, mask...)
		for i := range len(payload) {
			frame = append(frame, payload[i]^mask[i%4])
		}
		return frame
	}
	for _, test := range []struct {
		name     string
		received []byte
		payload  string
		taken    bool
	}{
		{"ping", masked(finalPing, "hello"), "hello", true},
		{"empty pong, more behind", append(masked(finalPong, ""), 1), "", true},
		{"close", masked(finalClose, "\x03\xe8bye"), "\x03\xe8bye", true},
		{"longest", masked(finalPing, string(bytes.Repeat([]byte{'a'}, 125))), string(bytes.Repeat([]byte{'a'}, 125)), true},
		{"nothing", nil, "", false},
		{"text", masked(finalText, "a"), "", false},
		{"reserved opcode", masked(0x8B, ""), "", false},
		{"reserved bit", masked(finalPing|compressedBit, ""), "", false},
		{"fragmented", masked(0x09, ""), "", false},
		{"not masked", []byte{finalPing, 0, 0, 0, 0, 0}, "", false},
		{"too long", append([]byte{finalPing, 0x80 | 126, 0, 126}, make([]byte, 130)...), "", false},
		{"incomplete", masked(finalPing, "hello")[:10], "", false},
	} {
		first, payload, ok := controlFrame(test.received)
		if ok != test.taken || string(payload) != test.payload || ok && first != test.received[0] {
			t.Errorf("%s: %x %q %v", test.name, first, payload, ok)
		}
	}
}

func TestCloseError(t *testing.T) {
	for payload, want := range map[string]websocket.CloseError{
		"":              {Code: websocket.StatusNoStatusRcvd},
		"\x03\xe8":      {Code: 1000},
		"\x0f\xa0later": {Code: 4000, Reason: "later"},
	} {
		if got, ok := closeError([]byte(payload)); got != want || !ok {
			t.Errorf("%q: %+v %v", payload, got, ok)
		}
	}
	for _, payload := range []string{"\x03", "\x03\xec", "\x03\xed", "\x03\xee", "\x03\xf7", "\x07\xd0", "\x13\x88", "\x00\x00"} {
		if got, ok := closeError([]byte(payload)); ok {
			t.Errorf("%q: %+v", payload, got)
		}
	}
}

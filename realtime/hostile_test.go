package realtime_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

// handshake is a client's (RFC 6455 section 4.1).
const handshake = "GET / HTTP/1.1\r\nHost: anybody\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// upgrade does the opening handshake by hand; what is read from the result is
// WebSocket frames.
func upgrade(ts *testServer, conn net.Conn) *bufio.Reader {
	ts.Helper()
	ts.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte(handshake)); err != nil {
		ts.Fatal(err)
	}
	buffered := bufio.NewReader(conn)
	response, err := http.ReadResponse(buffered, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		ts.Fatal(response, err)
	}
	return buffered
}

// masked is a client's frame (RFC 6455 section 5.2) with the masking key 0.
func masked(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// TestHostileInput sends what no client would, while another client keeps
// proposing.
func TestHostileInput(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxMessageBytes: 64 << 10, MaxBufferedBytes: 64 << 10})
	ts.create("c")
	good := ts.dial()
	good.join("c", "")
	next := uint64(2)

	ping := `{"v":1,"type":"ping","correlationId":"a"}`
	garbage := make([]byte, 1<<20)
	chacha := rand.NewChaCha8([32]byte{7})
	chacha.Read(garbage)
	endless := func(conn net.Conn) {
		conn.Write(masked(0x01, "{"))
		for range 1000 {
			if _, err := conn.Write(masked(0x00, strings.Repeat("x", 4<<10))); err != nil {
				return
			}
		}
	}
	for _, test := range []struct {
		name   string
		attack func(conn net.Conn)
		close  int // code of the close frame that is to be seen; 0: any or none
	}{
		{name: "garbage", attack: func(conn net.Conn) { conn.Write(garbage) }},
		{name: "frame of 2^62 bytes", attack: func(conn net.Conn) {
			conn.Write(append([]byte{0x81, 0xFF, 0x40}, make([]byte, 7)...))
			conn.Write(garbage)
		}, close: codes.CloseInvalidMessage},
		{name: "message without end", attack: endless, close: codes.CloseInvalidMessage},
		{name: "reserved bits", attack: func(conn net.Conn) { conn.Write(masked(0xF1, ping)) }, close: 1002},
		{name: "reserved bits and more unread", attack: func(conn net.Conn) {
			conn.Write(append(masked(0xF1, ping), bytes.Repeat(masked(0x81, ping), 100)...))
		}, close: 1002},
		{name: "unknown opcode", attack: func(conn net.Conn) { conn.Write(masked(0x83, ping)) }, close: 1002},
		{name: "long control frame", attack: func(conn net.Conn) { conn.Write(masked(0x89, strings.Repeat("x", 200))) }, close: 1002},
		{name: "unmasked", attack: func(conn net.Conn) { conn.Write(append([]byte{0x81, byte(len(ping))}, ping...)) }},
		{name: "continuation of nothing", attack: func(conn net.Conn) { conn.Write(masked(0x80, ping)) }, close: 1002},
		{name: "deep", attack: func(conn net.Conn) {
			conn.Write(masked(0x81, `{"v":1,"type":"propose","proposedData":`+strings.Repeat("[", 60<<10)))
		}, close: codes.CloseInvalidMessage},
		{name: "messages after the fatal one", attack: func(conn net.Conn) {
			conn.Write(masked(0x81, "x"))
			for range 1000 {
				conn.Write(masked(0x81, ping))
			}
		}, close: codes.CloseInvalidMessage},
		{name: "half a frame", attack: func(conn net.Conn) { conn.Write(masked(0x81, ping)[:10]) }},
		{name: "flood of pings that are not read", attack: func(conn net.Conn) {
			conn.SetWriteDeadline(time.Now().Add(testTimeout))
			conn.Write(bytes.Repeat(masked(0x89, "are you there?"), 100_000))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(ts.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			buffered := upgrade(ts, conn)
			test.attack(conn)
			if test.close != 0 {
				conn.SetReadDeadline(time.Now().Add(testTimeout))
				if got := closeCode(buffered); got != test.close {
					t.Errorf("close code %d, want %d", got, test.close)
				}
			}
			conn.Close()
			good.propose("c", "add", `{"by":1}`, "1")
			good.wantTransactions(next, next)
			want[*wire.ProposalResult](good)
			next++
		})
	}
}

// closeCode reads a server's frames up to the close frame.
func closeCode(r io.Reader) int {
	for {
		opcode, payload, err := readServerFrame(r)
		switch {
		case err != nil:
			return 0
		case opcode == 0x8:
			return int(binary.BigEndian.Uint16(payload))
		}
	}
}

func TestFragmentedMessage(t *testing.T) {
	ts := serve(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(ts.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	frames := upgrade(ts, conn)
	conn.Write(masked(0x01, `{"v":1,"type":"pi`))
	conn.Write(masked(0x89, "in between"))
	conn.Write(masked(0x00, `ng","correlation`))
	conn.Write(masked(0x80, `Id":"a"}`))
	conn.SetReadDeadline(time.Now().Add(testTimeout))
	got := make([]byte, 2+len("in between")+2+len(`{"v":1,"type":"pong","correlationId":"a"}`))
	if _, err := io.ReadFull(frames, got); err != nil {
		t.Fatal(err)
	}
	want := append([]byte{0x8A, 10}, "in between"...)
	want = append(append(want, 0x81, 41), `{"v":1,"type":"pong","correlationId":"a"}`...)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestSubscribeFlood(t *testing.T) {
	var r recorder
	ts := serve(t, &realtime.Options{Observer: r.observer()})
	for _, id := range []string{"a", "b", "c"} {
		ts.create(id)
	}
	p := ts.dial()
	p.unchecked = true
	go func() {
		for i := range 3000 { // whose replies may all wait for it
			p.subscribe(string(rune('a'+i%3)), "nonsense")
		}
		p.ping("end")
	}()
	states := 0
	for {
		switch m := must(p).(type) {
		case *wire.State:
			states++
			continue
		case *wire.Error:
			if m.Code != codes.ReplayCursorNotFound && m.Code != codes.RateLimited {
				t.Fatalf("got %s", m.AppendTo(nil))
			}
			continue
		}
		break
	}
	if states == 0 {
		t.Error("every subscribe was refused")
	}
	ts.add("a", 1)
	// The change comes live, or in the state that one of the last subscribes gets.
	for seen := false; !seen; {
		switch m := must(p).(type) {
		case *wire.Transaction:
			seen = true
			if m.Revision != 2 {
				t.Errorf("got %s", m.AppendTo(nil))
			}
		case *wire.State:
			seen = m.ShareDataID == "a" && m.Revision == 2
		}
	}
	p.conn.CloseNow()

	p = ts.dial()
	for i := range 5000 { // whose errors may all wait for it
		if err := p.conn.Write(t.Context(), 1, []byte(`{"v":1,"type":"subscribe","shareDataId":"`+string(rune('d'+i))+`"}`)); err != nil {
			break
		}
	}
	for {
		e := want[*wire.Error](p)
		if e.Code == codes.UnknownShareData {
			return
		}
		if e.Code != codes.RateLimited {
			t.Fatalf("got %s", e.AppendTo(nil))
		}
	}
}

// A connection that ends between two fragments has not sent the message.
func TestHostile_LastFragmentMissing(t *testing.T) {
	var r recorder
	ts := serve(t, &realtime.Options{Observer: r.observer()})
	ts.create("c")
	conn := ts.dialRaw()
	conn.Write(masked(0x01, `{"v":1,"type":"propose","correlationId":"a","shareDataId":"c","functionId":"add","proposedData":{"by":1}}`))
	conn.Close()
	r.wantClosed(t, 1006)
	ts.server.Shutdown(t.Context()) // waits for proposals
	if got := ts.cursor("c").Revision; got != 1 {
		t.Errorf("revision %d: the proposal was made", got)
	}
}

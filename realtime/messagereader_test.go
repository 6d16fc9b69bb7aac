package realtime

import (
	"io"
	"runtime"
	"testing"
	"weak"

	"github.com/safe-go/safe/sharedata"
)

// A reader that a connection had reads for another one.
func TestMessageReader_Reused(t *testing.T) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	for _, compressFrom := range []int{0, 100} {
		server, err := NewServer(manager, &Options{CompressFrom: compressFrom})
		if err != nil {
			t.Fatal(err)
		}
		s := newSession(server, Connection{}, &admitted{counts: server.admission})
		for range 3 {
			m, err := server.messageReaders.get(s, newSocket(nil, []byte{finalText, 0x80 | 2, 0, 0, 0, 0, 'h', 'i'}, new(poller)), compressFrom > 0)
			if err != nil {
				t.Fatal(err)
			}
			_, message, err := m.conn.Reader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(message); string(text) != "hi" || err != nil {
				t.Errorf("read %q, %v", text, err)
			}
			server.messageReaders.put(m)
		}
		server.Close()
	}
}

// What follows the end of a compressed message would be read by the next connection.
func TestMessageReader_CompressedIsNotShared(t *testing.T) {
	var readers messageReaders
	m, err := readers.get(nil, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	readers.put(m)
	for _, compressed := range []bool{true, false} {
		if next, err := readers.get(nil, nil, compressed); next == m || err != nil {
			t.Errorf("compressed %v: the same reader, %v", compressed, err)
		}
	}
}

// A reader that has failed, or has read ahead, is of no use to another connection.
func TestMessageReader_UsedUp(t *testing.T) {
	var readers messageReaders
	for name, use := range map[string]func(*messageReader){
		"failed":     func(m *messageReader) { m.failed = io.EOF },
		"read ahead": func(m *messageReader) { m.buffered.Peek(1) },
		"control frame": func(m *messageReader) {
			m.socket.early = []byte{finalPing, 0x80, 0, 0, 0, 0, finalText, 0x80, 0, 0, 0, 0}
			if _, _, err := m.conn.Reader(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.buffered.Discard(m.buffered.Buffered())
		},
	} {
		s := &session{server: &Server{options: Options{MessagesPerSecond: unlimited}}, out: &outbox{state: outboxClosed}}
		m, err := readers.get(s, newSocket(nil, []byte("a"), new(poller)), false)
		if err != nil {
			t.Fatal(err)
		}
		use(m)
		readers.put(m)
		if next, err := readers.get(nil, nil, false); next == m || err != nil {
			t.Errorf("%s: the same reader, %v", name, err)
		}
	}
}

// The library's finalizer would keep it for ever.
func TestMessageReader_Freed(t *testing.T) {
	m, err := newMessageReader(true)
	if err != nil {
		t.Fatal(err)
	}
	freed := weak.Make(m)
	m = nil
	for range 3 {
		runtime.GC()
	}
	if freed.Value() != nil {
		t.Error("a reader that nobody has is not freed")
	}
}

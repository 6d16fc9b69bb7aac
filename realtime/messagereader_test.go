package realtime

import (
	"io"
	"testing"

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

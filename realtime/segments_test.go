package realtime

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// What is written arrives whole and in order, however slowly the peer reads.
func TestSocket_WriteLarge(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, size := range []int{100, copyBelow, writeStep, writeStep + 1, gatherBytes / 3, gatherBytes + 1, 3 << 20} {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		random := rand.NewChaCha8([32]byte{byte(size)})
		var c chunk
		var want []byte
		for range 10 {
			text := make([]byte, size)
			random.Read(text)
			c.frames = append(c.frames, &frame{text: text, about: &nothing})
			want = append(appendHeader(want, finalText, size), text...)
		}
		s := newSocket(server, nil, new(poller))
		written := make(chan error, 1)
		go func() {
			err := s.write(&c, newWriteBuffer().(*writeBuffer))
			s.Close()
			written <- err
		}()
		got, err := io.ReadAll(client)
		client.Close()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d of %d, %v", size, len(got), len(want), err)
		}
		if err := <-written; err != nil || s.written.Load() != uint64(len(want)) {
			t.Errorf("%d bytes: counted %d of %d, %v", size, s.written.Load(), len(want), err)
		}
	}
}

// Bytes that are copied between large ones, such as the ids of events, once made a write
// panic: together they were more than is gathered.
func TestSegments_Random(t *testing.T) {
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		conn := &recordingConn{}
		w := newSegments(newSocket(conn, nil, new(poller)), newWriteBuffer().(*writeBuffer))
		var want []byte
		for range 200 {
			copies := random.IntN(3) == 0
			most := 16 * copyBelow
			if copies {
				most = copyBelow
			}
			p := noise[random.IntN(len(noise)-most):][:random.IntN(most+1)]
			want = append(want, p...)
			if copies {
				w.copy(p)
			} else {
				w.add(p)
			}
		}
		if err := w.flush(); err != nil || !bytes.Equal(conn.Bytes(), want) {
			t.Fatalf("seed %d: %d bytes were written of %d, %v", seed, conn.Len(), len(want), err)
		}
	}
}

// A write needs no memory of its own.
func TestSocket_WriteAllocations(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			io.Copy(io.Discard, conn)
		}
	}()
	s, buffer := newSocket(client, nil, new(poller)), newWriteBuffer().(*writeBuffer)
	small, large := &frame{text: make([]byte, 100), about: &nothing}, &frame{text: make([]byte, 16<<10), about: &nothing}
	for name, frames := range map[string][]*frame{
		"small": {small, small}, "large": {large}, "gathered": {large, large, large, large, large, large}, "mixed": {small, large, small, large},
	} {
		c := chunk{frames: frames}
		if n := testing.AllocsPerRun(100, func() {
			if err := s.write(&c, buffer); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

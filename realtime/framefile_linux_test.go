package realtime

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/safe-go/safe/replay"
)

// filedFrames returns frames of random bytes that are to be sent from files.
func filedFrames(p *frameFiles, random *rand.ChaCha8, n, size int) (frames []*frame, want []byte) {
	for range n {
		f := newFrame(kindTransaction, "c", replay.Cursor{Epoch: 1, Revision: 2})
		f.text = make([]byte, size)
		random.Read(f.text)
		p.share(f, minFiledSubscribers)
		frames = append(frames, f)
		want = append(appendHeader(want, finalText, size), f.text...)
	}
	return frames, want
}

// What the network has taken from pages and not sent yet stays as it was when those are
// freed and others written.
func TestSendFromFile(t *testing.T) {
	var files frameFiles
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{minFiledBytes, 16 << 10, 20_011, maxFiledBytes} {
		var fars []io.Reader
		var wants [][]byte
		for range 20 { // more than the files have together
			near, far := connected(t)
			frames, want := filedFrames(&files, random, 1<<20/size, size)
			s := newSocket(near, nil, new(poller))
			if n := s.sendFromFile(frames[:1], new(writeBuffer)); n == 0 {
				t.Fatalf("%d bytes: nothing was sent from the file", size)
			} else {
				s.written.Store(0)
				want = append(bytes.Clone(want[:n]), want...)
			}
			go s.write(&chunk{frames: frames}, newWriteBuffer().(*writeBuffer))
			fars, wants = append(fars, far), append(wants, want)
		}
		for i, far := range fars {
			got := make([]byte, len(wants[i]))
			if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, wants[i]) {
				t.Fatalf("%d bytes: what arrives is not what was sent: %v", size, err)
			}
		}
	}
	files.close()
	if files.newest.use() || files.before.use() {
		t.Error("the files are still open")
	}
}

func TestSendFromFile_NotUsed(t *testing.T) {
	var files frameFiles
	defer files.close()
	random := rand.NewChaCha8([32]byte{2})
	near, _ := connected(t)
	for name, change := range map[string]func(*socket, *frame){
		"none":       func(_ *socket, f *frame) { f.inFile = nil },
		"compressed": func(s *socket, _ *frame) { s.compressFrom = 1 },
		"binary":     func(s *socket, _ *frame) { s.message = finalBinary },
		"TLS":        func(s *socket, _ *frame) { s.raw = nil },
		"file closed": func(_ *socket, f *frame) {
			extentOf([]*frame{f})
			f.inFile.file = &frameFile{}
			f.inFile.file.users.Store(closedFile)
		},
	} {
		s := newSocket(near, nil, new(poller))
		frames, _ := filedFrames(&files, random, 1, minFiledBytes)
		change(s, frames[0])
		if n := s.sendFromFile(frames, new(writeBuffer)); n != 0 {
			t.Errorf("%s: %d bytes were sent", name, n)
		}
	}
	for size, subscribers := range map[int]int{minFiledBytes - 1: 100, maxFiledBytes + 1: 100, minFiledBytes: minFiledSubscribers - 1} {
		f := newFrame(kindTransaction, "c", replay.Cursor{Epoch: 1, Revision: 2})
		f.text = make([]byte, size)
		if files.share(f, subscribers); f.inFile != nil {
			t.Errorf("%d bytes for %d: in a file", size, subscribers)
		}
	}
}

// To send from a file needs no memory of its own.
func TestSendFromFile_Allocations(t *testing.T) {
	var files frameFiles
	defer files.close()
	near, far := connected(t)
	go io.Copy(io.Discard, far)
	frames, _ := filedFrames(&files, rand.NewChaCha8([32]byte{3}), 4, minFiledBytes)
	s, buffer := newSocket(near, nil, new(poller)), newWriteBuffer().(*writeBuffer)
	if n := testing.AllocsPerRun(100, func() { s.write(&chunk{frames: frames}, buffer) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

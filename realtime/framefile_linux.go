package realtime

import (
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// frameFiles keeps the newest large frames, with their headers, in pages of the kernel: in
// files in memory (memfd_create(2)), from which sendfile(2) gives them to the network for
// each of many connections without copying them. The zero value is ready to use.
//
// A file is written once, from the beginning to the end, and closed when the one after it is
// full. What the network has taken and not sent yet stays in its pages; to write there, or
// to free a part of the file, would change it.
type frameFiles struct {
	mu             sync.Mutex
	newest, before *frameFile
	closed         bool
}

const (
	maxFileBytes = 4 << 20
	// Frames of other sizes are sent faster by copying them: small ones because a page costs
	// the kernel as much as some copying, large ones because it gives pages to the network in
	// pieces of 64 KiB, and wakes the peer for each.
	minFiledBytes, maxFiledBytes = 8 << 10, 64 << 10
	// minFiledSubscribers: with fewer, writing the file takes more time than is saved.
	minFiledSubscribers = 16
)

// frameFile is one of the files.
type frameFile struct {
	fd    int
	end   int64        // guarded by frameFiles.mu
	users atomic.Int32 // that send from it; negative when it is closed
}

// closedFile is the number of users of a closed file, whatever is added to it.
const closedFile = -1 << 30

// use keeps the file open until release is called. It returns false if it is closed.
func (f *frameFile) use() bool { return f != nil && f.users.Add(1) > 0 }

func (f *frameFile) release() { f.users.Add(-1) }

// close returns false while the file is used. f may be nil.
func (f *frameFile) close() bool {
	if f == nil {
		return true
	}
	if !f.users.CompareAndSwap(0, closedFile) {
		return false
	}
	syscall.Close(f.fd)
	return true
}

// frameInFile is a frame that is to be sent from a file.
type frameInFile struct {
	files *frameFiles
	once  sync.Once // for put, by the first that sends it
	// file is nil where it is in none.
	file         *frameFile
	offset, size int64
}

// share has a frame sent from a file, where that takes less time.
func (p *frameFiles) share(f *frame, subscribers int) {
	if n := f.size(); subscribers >= minFiledSubscribers && n >= minFiledBytes && n <= maxFiledBytes {
		f.inFile = &frameInFile{files: p}
	}
}

// put writes a text with its header to the newest file.
func (p *frameFiles) put(f *frameInFile, text []byte) {
	header := appendHeader(make([]byte, 0, maxHeader), finalText, len(text))
	size := int64(len(header) + len(text))
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.makeRoomLocked(size) {
		return
	}
	to := p.newest
	if n, err := unix.Pwritev(to.fd, [][]byte{header, text}, to.end); err != nil || int64(n) != size {
		return
	}
	f.file, f.offset, f.size = to, to.end, size
	to.end += size
}

// makeRoomLocked makes the newest file one that has room for so many bytes.
func (p *frameFiles) makeRoomLocked(size int64) bool {
	if p.closed || p.newest != nil && p.newest.end+size <= maxFileBytes {
		return !p.closed
	}
	if !p.before.close() {
		return false
	}
	p.before = nil
	fd, err := unix.MemfdCreate("frames", unix.MFD_CLOEXEC)
	if err != nil {
		return false
	}
	p.before, p.newest = p.newest, &frameFile{fd: fd}
	return true
}

// close closes the files. No connection is left that sends from them.
func (p *frameFiles) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest.close()
	p.before.close()
	p.closed = true
}

// sendFromFile gives frames to the network from their file, from the first on and as far as
// it takes them without waiting. It returns the number of bytes sent, headers included. The
// next write reports errors.
func (s *socket) sendFromFile(frames []*frame, buffer *writeBuffer) (sent int) {
	if len(frames) == 0 || frames[0].inFile == nil || s.raw == nil || s.compressFrom > 0 || s.message != finalText {
		return 0
	}
	file, begin, end := extentOf(frames)
	if !file.use() {
		return 0
	}
	defer file.release()
	f := &buffer.fromFile
	if f.call == nil {
		f.call = f.send
	}
	f.fd, f.offset, f.size, f.sent = file.fd, begin, int(end-begin), 0
	s.raw.Control(f.call)
	s.written.Add(uint64(f.sent))
	return f.sent
}

// fromFile is a call of sendFromFile. It is kept, because all of it would be allocated.
type fromFile struct {
	call       func(fd uintptr) // send
	fd         int
	offset     int64
	size, sent int
}

func (f *fromFile) send(fd uintptr) {
	if f.size <= maxQuietFile {
		f.sent = rawSendfile(fd, f.fd, &f.offset, f.size)
		return
	}
	n, _ := syscall.Sendfile(int(fd), f.fd, &f.offset, f.size)
	f.sent = max(n, 0)
}

// maxQuietFile is maxQuiet for bytes that are not copied.
const maxQuietFile = 256 << 10

// extentOf returns where the first of the frames are, one after the other; nil where they
// are in no file.
func extentOf(frames []*frame) (file *frameFile, begin, end int64) {
	for i, f := range frames {
		p := f.inFile
		if p == nil {
			break
		}
		p.once.Do(func() { p.files.put(p, f.text) })
		if i == 0 {
			file, begin, end = p.file, p.offset, p.offset
		}
		if p.file == nil || p.file != file || p.offset != end {
			break
		}
		end += p.size
	}
	return file, begin, end
}

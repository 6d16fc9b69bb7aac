package realtime

// copyBelow is the size from which bytes are written from where they are: to copy fewer
// is cheaper than to have the kernel gather them.
const copyBelow = 4 << 10

// How many bytes are given to the network at once, about: gatherBytes as long as it takes
// them without waiting; from then on writeStep, so that progress shows.
const (
	gatherBytes = 1 << 20
	writeStep   = 64 << 10
)

// segments gathers bytes that are written together.
type segments struct {
	conn   *socket
	buffer *writeBuffer
	header [maxHeader]byte // for callers
	// copied is in buffer.bytes; what is behind start is in none of the parts yet.
	copied []byte
	start  int
	parts  [][]byte
	size   int // of what is gathered
	skip   int // how many bytes are left out, because they were written
	err    error
}

func newSegments(conn *socket, buffer *writeBuffer) segments {
	return segments{conn: conn, buffer: buffer, copied: buffer.bytes[:0], parts: buffer.parts[:0]}
}

// copy adds bytes that the caller will change.
func (w *segments) copy(p []byte) {
	p = w.rest(p)
	for len(p) > 0 && w.err == nil {
		n := min(len(p), cap(w.copied)-len(w.copied))
		w.copied = append(w.copied, p[:n]...)
		w.size += n
		if p = p[n:]; len(p) > 0 {
			w.flush()
		}
	}
}

// add adds bytes that nobody changes.
func (w *segments) add(p []byte) {
	if p = w.rest(p); len(p) < copyBelow {
		w.copy(p)
		return
	}
	for len(p) > 0 && w.err == nil {
		if w.size >= gatherBytes { // also by what was copied
			w.flush()
			continue
		}
		w.endCopied()
		n := min(len(p), gatherBytes-w.size)
		w.parts = append(w.parts, p[:n])
		w.size += n
		p = p[n:]
	}
}

// rest returns what is not left out.
func (w *segments) rest(p []byte) []byte {
	n := min(w.skip, len(p))
	w.skip -= n
	return p[n:]
}

// endCopied makes what was copied a part.
func (w *segments) endCopied() {
	if len(w.copied) > w.start {
		w.parts = append(w.parts, w.copied[w.start:])
		w.start = len(w.copied)
	}
}

// flush writes what is gathered. It returns the first error of all calls.
func (w *segments) flush() error {
	w.endCopied()
	if w.err == nil && len(w.parts) > 0 {
		w.err = w.write()
	}
	clear(w.parts)
	w.parts, w.copied, w.start, w.size = w.parts[:0], w.copied[:0], 0, 0
	return w.err
}

// write writes the parts.
func (w *segments) write() error {
	rest := w.parts
	n, err := w.conn.writeAtOnce(rest, w.buffer)
	w.conn.written.Add(uint64(n))
	if err != nil {
		return err
	}
	rest = skip(rest, n)
	for len(rest) > 0 {
		count, size := 0, 0
		for count < len(rest) && size+len(rest[count]) <= writeStep {
			size += len(rest[count])
			count++
		}
		var err error
		switch count {
		case 0:
			err = w.writeOne(rest[0][:writeStep])
			rest[0] = rest[0][writeStep:]
		case 1:
			err = w.writeOne(rest[0])
		default:
			err = w.writeSeveral(rest[:count])
		}
		if err != nil {
			return err
		}
		rest = rest[count:]
	}
	return nil
}

// writeOne writes a part, and blocks until the network has taken it.
func (w *segments) writeOne(part []byte) error {
	n, err := w.conn.Conn.Write(part)
	w.conn.written.Add(uint64(n))
	return err
}

// writeSeveral is writeOne for several parts, in one system call where that is possible.
func (w *segments) writeSeveral(parts [][]byte) error {
	w.buffer.gathered = parts
	n, err := w.buffer.gathered.WriteTo(w.conn.Conn)
	w.conn.written.Add(uint64(n))
	return err
}

// skip returns what follows the first n bytes of the parts.
func skip(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if n > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}

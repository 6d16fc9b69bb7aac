package realtime

import (
	"bytes"
	"compress/flate"
	"sync"
)

// compressed has the text of a frame for connections that have negotiated
// permessage-deflate (RFC 7692): made by the first of them, and the same for all, since no
// message refers to the one before (server_no_context_takeover).
type compressed struct {
	once sync.Once
	text []byte
}

// deflated returns the compressed text; nil where it is not smaller.
func (f *frame) deflated() []byte {
	if f.about == &nothing {
		return nil
	}
	c := f.compressed.Load()
	if c == nil {
		f.compressed.CompareAndSwap(nil, new(compressed))
		c = f.compressed.Load()
	}
	c.once.Do(func() {
		if d := deflate(f.text); len(d) < len(f.text) {
			c.text = d
		}
	})
	return c.text
}

// deflaters are writers of DEFLATE (RFC 1951), which have about 600 KB each.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	return w
}}

// flushed is at the end of what Flush writes, and is left out (RFC 7692, section 7.2.1).
var flushed = []byte{0x00, 0x00, 0xff, 0xff}

func deflate(text []byte) []byte {
	var out bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&out)
	w.Write(text) // into a bytes.Buffer, which does not fail
	w.Flush()
	return bytes.Clone(bytes.TrimSuffix(out.Bytes(), flushed))
}

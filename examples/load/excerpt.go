package main

import (
	"bufio"
	"io"
	"slices"
	"sync"
)

const (
	// readBytes is the buffer of a connection. Most connections wait most of the time:
	// there are many, and what arrives at one of them is little.
	readBytes = 2 << 10
	headBytes = 1024
	tailBytes = 512
)

// largeReads are buffers for messages that are larger than that of a connection.
var largeReads = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// excerpt is the beginning and the end of a message that came in parts. The members of a
// frame that this program looks for are there; what is between them can be large.
type excerpt struct{ text []byte }

func (e *excerpt) add(part []byte) {
	head := min(len(part), max(0, headBytes-len(e.text)))
	e.text = append(e.text, part[:head]...)
	part = part[head:]
	part = part[max(0, len(part)-tailBytes):]
	if over := len(e.text) + len(part) - headBytes - tailBytes; over > 0 {
		e.text = slices.Delete(e.text, headBytes, headBytes+over)
	}
	e.text = append(e.text, part...)
}

// addFrom adds the next size bytes of a connection.
func (e *excerpt) addFrom(in *bufio.Reader, size int) error {
	buffer := largeReads.Get().(*[16 << 10]byte)
	defer largeReads.Put(buffer)
	for size > 0 {
		part := buffer[:min(size, len(buffer))]
		if _, err := io.ReadFull(in, part); err != nil {
			return err
		}
		e.add(part)
		size -= len(part)
	}
	return nil
}

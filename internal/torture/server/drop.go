package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
)

// dropFrames makes a WebSocket handler leave out every 40th live transaction
// of each connection.
func dropFrames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(dropper{w}, r)
	})
}

type dropper struct{ http.ResponseWriter }

func (d dropper) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(d.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	dropping := &droppingConn{Conn: conn}
	return dropping, bufio.NewReadWriter(buffered.Reader, bufio.NewWriter(dropping)), nil
}

// droppingConn leaves out frames among those that are written.
type droppingConn struct {
	net.Conn
	rest  []byte // the beginning of a frame
	count int
}

func (c *droppingConn) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	var out []byte
	for {
		n := frameLength(c.rest)
		if n == 0 || n > len(c.rest) {
			break
		}
		frame := c.rest[:n]
		c.rest = c.rest[n:]
		if bytes.Contains(frame, []byte(`"type":"transaction"`)) && bytes.Contains(frame, []byte(`"currentState"`)) {
			if c.count++; c.count%40 == 0 {
				continue
			}
		}
		out = append(out, frame...)
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// frameLength is the length of the unmasked frame (RFC 6455 section 5.2) that
// data begins with, 0 if its header is not whole.
func frameLength(data []byte) int {
	switch {
	case len(data) < 2:
		return 0
	case data[1] < 126:
		return 2 + int(data[1])
	case data[1] == 126 && len(data) >= 4:
		return 4 + int(binary.BigEndian.Uint16(data[2:]))
	case data[1] == 127 && len(data) >= 10:
		return 10 + int(binary.BigEndian.Uint64(data[2:]))
	}
	return 0
}

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
)

// skipFrames makes a WebSocket handler leave out every 40th live transaction of
// each connection.
func skipFrames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(frameSkipper{w}, r)
	})
}

type frameSkipper struct{ http.ResponseWriter }

func (s frameSkipper) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	skipping := &skippingConn{Conn: conn}
	return skipping, bufio.NewReadWriter(buffered.Reader, bufio.NewWriter(skipping)), nil
}

// skippingConn leaves out some of the WebSocket frames that are written.
type skippingConn struct {
	net.Conn
	rest         []byte // the beginning of a frame
	transactions int
}

func (c *skippingConn) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	var out []byte
	for n := frameLength(c.rest); n > 0 && n <= len(c.rest); n = frameLength(c.rest) {
		frame := c.rest[:n]
		c.rest = c.rest[n:]
		if bytes.Contains(frame, []byte(`"type":"transaction"`)) && bytes.Contains(frame, []byte(`"currentState"`)) {
			if c.transactions++; c.transactions%40 == 0 {
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

// frameLength returns the length of the unmasked frame (RFC 6455 section 5.2) that
// data begins with, 0 if its header is not complete.
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

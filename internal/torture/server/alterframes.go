package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/http"
)

// skipFrame leaves out every 12th live transaction with a whole state, on average.
func skipFrame(frame []byte) []byte {
	if rand.IntN(12) == 0 && bytes.Contains(frame, []byte(`"type":"transaction"`)) && bytes.Contains(frame, []byte(`"currentState"`)) {
		return nil
	}
	return frame
}

// wrongPatch changes a digit, mostly of a value, in every 12th patch, on average.
func wrongPatch(frame []byte) []byte {
	_, patch, _ := bytes.Cut(frame, []byte(`"patch":[`))
	_, text, _ := bytes.Cut(patch, []byte(`"value":`))
	if i := bytes.IndexAny(text, "123456789"); i >= 0 && rand.IntN(12) == 0 {
		text[i] = '1' + (text[i]-'0')%9
	}
	return frame
}

// alterFrames makes a handler send what alter returns instead of each frame on a
// WebSocket.
func alterFrames(alter func(frame []byte) []byte) func(http.Handler) http.Handler {
	return alterConnections(alter, true, frameLength)
}

// alterEvents is alterFrames for event streams.
func alterEvents(alter func(event []byte) []byte) func(http.Handler) http.Handler {
	return alterConnections(alter, false, eventLength)
}

func alterConnections(alter func([]byte) []byte, webSockets bool, length func([]byte) int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isWebSocket := r.Header.Get("Upgrade") != ""; isWebSocket == webSockets {
				w = frameAlterer{w, alter, length}
			}
			next.ServeHTTP(w, r)
		})
	}
}

type frameAlterer struct {
	http.ResponseWriter
	alter  func(frame []byte) []byte
	length func(data []byte) int
}

func (a frameAlterer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	altering := &alteringConn{Conn: conn, alter: a.alter, length: a.length}
	return altering, bufio.NewReadWriter(buffered.Reader, bufio.NewWriter(altering)), nil
}

// alteringConn alters the WebSocket frames or the events that are written.
type alteringConn struct {
	net.Conn
	alter  func(frame []byte) []byte
	length func(data []byte) int // of the first frame or event, 0 if that is not known yet
	rest   []byte                // the beginning of a frame
}

func (c *alteringConn) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	var out []byte
	for n := c.length(c.rest); n > 0 && n <= len(c.rest); n = c.length(c.rest) {
		out = append(out, c.alter(c.rest[:n])...)
		c.rest = c.rest[n:]
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

// eventLength returns the length of the event that data begins with, 0 if it is not
// complete. The header of the response counts as part of the first one. The problem in
// a refused response is never complete: a client sees a broken connection instead.
func eventLength(data []byte) int {
	before, _, found := bytes.Cut(data, []byte("\n\n"))
	if !found {
		return 0
	}
	return len(before) + 2
}

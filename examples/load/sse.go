package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http/httputil"
	"net/url"
	"slices"
)

// eventStream reads server-sent events. The name and the position of an event are in its
// frame too, so that only its data line counts.
type eventStream struct {
	net.Conn
	in   *bufio.Reader
	line excerpt
}

func (e *endpoint) openEvents(ctx context.Context, number int, query url.Values) (*eventStream, error) {
	conn, in, response, err := e.open(ctx, number, query, "Accept: text/event-stream\r\n", 200)
	if err != nil {
		return nil, err
	}
	if slices.Contains(response.TransferEncoding, "chunked") {
		in = bufio.NewReaderSize(httputil.NewChunkedReader(in), readBytes)
	}
	return &eventStream{Conn: conn, in: in}, nil
}

// next returns the frame of the next event, or an excerpt of a large one. It is valid
// until the next call.
func (s *eventStream) next() ([]byte, error) {
	for {
		line, err := s.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			s.line.text = s.line.text[:0]
			for s.line.add(line); errors.Is(err, bufio.ErrBufferFull); s.line.add(line) {
				line, err = s.in.ReadSlice('\n')
			}
			line = s.line.text
		}
		if err != nil {
			return nil, err
		}
		if frame, found := bytes.CutPrefix(line, []byte("data:")); found {
			return frame, nil
		}
	}
}

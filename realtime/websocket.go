package realtime

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/schemas/codes"
)

// webSocket is the transport of a WebSocket connection (RFC 6455). The library does the
// handshake, reads and checks frames; everything but its own control frames is written
// by the socket.
type webSocket struct {
	*socket
	session *session
	// reader is nil while nothing arrives.
	reader     *messageReader
	compressed bool // whether messages of the peer may be
	// receive is the application's, where the frames are not those of package wire.
	receive func(ClientMessage)

	// For await.
	ahead  [16]byte // enough for a pong
	arrive func(fd uintptr) bool
	failed error
	// waitUntil is when a wait ends, which began when receivedBefore bytes had come.
	waitUntil      time.Time
	receivedBefore uint64
	alwaysWaits    bool // a goroutine, because the poller cannot wait for this connection
}

// acceptWebSocket upgrades a request and makes the connection the session's.
func acceptWebSocket(s *session, h *hijacker, r *http.Request, options *WebSocketOptions) error {
	compression := websocket.CompressionDisabled
	if s.server.options.CompressFrom > 0 {
		compression = websocket.CompressionNoContextTakeover
	}
	conn, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols:    options.subprotocols(),
		OriginPatterns:  s.server.options.OriginPatterns,
		CompressionMode: compression,
	})
	if err != nil {
		return err
	}
	runtime.SetFinalizer(conn, nil) // the library's, which would close the connection
	if r.Context().Err() != nil && !h.deadline.IsZero() && !time.Now().Before(h.deadline) {
		h.socket.Close()
		return errHandshakeTimeout // net/http does not say that it could not write the response
	}
	t := &webSocket{socket: h.socket, session: s, compressed: h.Header().Get("Sec-WebSocket-Extensions") != ""}
	if t.compressed {
		t.compressFrom = s.server.options.CompressFrom
	}
	s.transport = t
	if options != nil {
		t.serveProtocol(s, options)
	}
	return nil
}

// read implements transport.
func (t *webSocket) read(s *session) error {
	for {
		if err := t.await(); err != nil {
			return err
		}
		taken, err := t.takeControlFrame()
		switch {
		case err != nil:
			return err
		case taken && t.raw == nil && t.reader.buffered.Buffered() == 0:
			return errReadOn
		case taken:
			continue
		}
		before := s.idle.lastMessage.Load()
		if err := cmp.Or(t.readMessage(s), t.reader.failed); err != nil {
			t.drainAfter(s, err)
			return err
		}
		if t.raw == nil && t.reader.buffered.Buffered() == 0 && s.isQuiet(before) {
			return errReadOn
		}
	}
}

// park implements parker.
func (t *webSocket) park(s *session) bool {
	t.detach()
	if t.setDeadline(time.Time{}) != nil || !t.socket.park(s) {
		t.alwaysWaits = true
		return false
	}
	return true // and the session may be read on already
}

// await waits until the peer has sent something, which the buffer of the reader has then,
// or there is an error for the library to read. The library would wait with much more on
// the stack and on the heap.
func (t *webSocket) await() error {
	if t.reader != nil && t.reader.buffered.Buffered() > 0 {
		return nil
	}
	if len(t.early) == 0 {
		if ok, err := t.awaitRaw(); ok {
			return err
		}
		t.share()
		n, err := t.socket.Read(t.ahead[:])
		if n == 0 {
			return t.attachFailed(err)
		}
		t.early = t.ahead[:n]
	}
	if err := t.attach(); err != nil {
		return err
	}
	_, err := t.reader.buffered.Peek(1)
	return err
}

// attach gives the connection a reader, if it has none.
func (t *webSocket) attach() (err error) {
	if t.reader == nil {
		t.reader, err = t.session.server.messageReaders.get(t.session, t.socket, t.compressed)
	}
	return err
}

// attachFailed is attach for the library to read an error.
func (t *webSocket) attachFailed(failed error) error {
	err := t.attach()
	if err == nil {
		t.reader.failed = failed
	}
	return err
}

// share is detach, if another connection may have the reader: one of its own would have to
// be made for each message.
func (t *webSocket) share() {
	if t.reader != nil && !t.reader.single {
		t.detach()
	}
}

// detach takes the reader from the connection. It is between messages, and has nothing
// buffered.
func (t *webSocket) detach() {
	if t.reader != nil {
		t.session.server.messageReaders.put(t.reader)
		t.reader = nil
	}
}

func (t *webSocket) readMessage(s *session) error {
	// The context is not the session's: one that ends would make the library
	// cut the connection in the middle of a close.
	kind, message, err := t.reader.conn.Reader(context.Background())
	switch {
	case err != nil:
		return err
	case s.isClosing():
		_, err := io.Copy(io.Discard, message)
		return err
	}
	return t.readBody(s, kind, message)
}

// drainAfter lets the peer read the close frame that the library has sent over
// a violation of the WebSocket protocol: if the network connection were closed
// while received bytes are unread, the peer would get a reset instead.
func (t *webSocket) drainAfter(s *session, err error) {
	if code, _ := t.sentClose(); code == 0 || websocket.CloseStatus(err) != -1 || !s.beginClosing() {
		return
	}
	s.out.close()
	s.endSubscriptions()
	io.Copy(io.Discard, t.socket)
}

// readBody reads the rest of a message and acts on it.
func (t *webSocket) readBody(s *session, kind websocket.MessageType, message io.Reader) error {
	buffer := s.server.messages.Get().(*bytes.Buffer)
	defer s.server.putMessage(buffer)
	now := time.Now()
	retryAfter, flooded := s.countMessage(now)
	if flooded {
		_, err := io.Copy(io.Discard, message)
		return err
	}
	err := t.readLimited(s, buffer, message, now)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.closeSlow(s)
		return err
	case err != nil:
		return err
	case buffer.Len() > s.server.options.MaxMessageBytes:
		s.closeInvalidMessage("the message is larger than the server accepts", "")
		_, err := io.Copy(io.Discard, message)
		return err
	case t.receive != nil:
		t.receive(ClientMessage{Data: buffer.Bytes(), Binary: kind == websocket.MessageBinary, RetryAfter: retryAfter})
		return nil
	case kind != websocket.MessageText:
		s.closeInvalidMessage("the message is binary; send JSON as a text message", "")
		return nil
	}
	s.receive(buffer.Bytes(), retryAfter)
	return nil
}

// readLimited reads a message that began at a time, up to one byte more than it may
// have. The buffer grows as bytes arrive, whatever length the frame announces.
func (t *webSocket) readLimited(s *session, buffer *bytes.Buffer, message io.Reader, began time.Time) error {
	if timeout := s.server.options.MessageTimeout; timeout > 0 {
		t.setReadDeadline(began.Add(timeout))
		defer t.setReadDeadline(time.Time{})
	}
	_, err := buffer.ReadFrom(io.LimitReader(message, int64(s.server.options.MaxMessageBytes)+1))
	return cmp.Or(err, t.reader.failed)
}

// closeSlow ends the connection because a message was not complete in time. The rest
// of that message is not read as one, so that the peer can read the close frame.
func (t *webSocket) closeSlow(s *session) {
	if s.close(codes.ClosePolicyViolation, "a message was not complete in time") {
		io.Copy(io.Discard, t.socket)
	}
}

// write implements transport.
func (t *webSocket) write(c *chunk, buffer *writeBuffer) (err error) {
	if t.receive != nil {
		if c.frames, err = t.session.applicationFrames(c.frames); err != nil {
			return err
		}
	}
	return t.socket.write(c, buffer)
}

// traffic implements transport.
func (t *webSocket) traffic() (received, written uint64) {
	return t.received.Load(), t.written.Load()
}

// answersPings implements transport.
func (t *webSocket) answersPings() bool { return true }

// boundUnsent implements transport.
func (t *webSocket) boundUnsent() { t.socket.boundUnsent() }

// cut implements transport.
func (t *webSocket) cut() { t.socket.Close() }

// closeFrame implements transport.
func (t *webSocket) closeFrame(err error) (code int, reason string) {
	var peer websocket.CloseError
	if errors.As(err, &peer) {
		return int(peer.Code), strings.ToValidUTF8(peer.Reason, "\uFFFD")
	}
	return t.sentClose()
}

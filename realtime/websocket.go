package realtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
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
	conn *websocket.Conn
	// buffered is what the library reads from.
	buffered *bufio.Reader
	// application is nil where the frames are those of package wire.
	application *webSocketApplication
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
		// The library would reply within 5 s or cut the connection, however
		// healthy a peer with a large frame on its way to it may be.
		OnPingReceived: func(_ context.Context, payload []byte) bool {
			if s.allowControlFrame() {
				s.out.sendPong(payload)
			}
			return false
		},
		OnPongReceived: func(context.Context, []byte) { s.allowControlFrame() },
	})
	if err != nil {
		return err
	}
	if r.Context().Err() != nil && !h.deadline.IsZero() && !time.Now().Before(h.deadline) {
		conn.CloseNow()
		return errHandshakeTimeout // net/http does not say that it could not write the response
	}
	conn.SetReadLimit(-1) // it would close with 1009 and without an error frame
	if h.Header().Get("Sec-WebSocket-Extensions") != "" {
		h.socket.compressFrom = s.server.options.CompressFrom
	}
	t := &webSocket{socket: h.socket, conn: conn, buffered: h.buffered}
	s.transport = t
	if options != nil {
		t.serveProtocol(s, options)
	}
	return nil
}

// read implements transport.
func (t *webSocket) read(s *session) error {
	for grown := false; ; grown = true {
		if pongs := t.await(s); pongs && grown {
			return errReadOn
		}
		before := s.idle.lastMessage.Load()
		if err := t.readMessage(s); err != nil {
			t.drainAfter(s, err)
			return err
		}
		if t.buffered.Buffered() == 0 && s.isQuiet(before) {
			return errReadOn
		}
	}
}

// await waits until the peer sends something that the library is to read, and skips
// pongs. The library would wait with much more on the stack, and a stack that has
// grown for it stays. It returns whether there were pongs.
func (t *webSocket) await(s *session) (pongs bool) {
	for {
		if _, err := t.buffered.Peek(1); err != nil {
			return pongs // the library reads the error again
		}
		if !t.skipPong(s) {
			return pongs
		}
		pongs = true
	}
}

// skipPong skips a pong that has been read as a whole. It returns false for all else.
func (t *webSocket) skipPong(s *session) bool {
	received, _ := t.buffered.Peek(t.buffered.Buffered())
	const header = 6 // two bytes and the mask
	if len(received) < header || received[0] != finalPong || received[1]&0x80 == 0 || s.isClosing() {
		return false
	}
	n := header + int(received[1]&0x7F)
	if n > header+125 || n > len(received) {
		return false
	}
	s.allowControlFrame()
	t.buffered.Discard(n)
	return true
}

func (t *webSocket) readMessage(s *session) error {
	// The context is not the session's: one that ends would make the library
	// cut the connection in the middle of a close.
	kind, message, err := t.conn.Reader(context.Background())
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
	case t.application != nil:
		t.application.receive(ClientMessage{Data: buffer.Bytes(), Binary: kind == websocket.MessageBinary, RetryAfter: retryAfter})
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
	return err
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
	if t.application != nil {
		if c.frames, err = t.application.session.applicationFrames(c.frames); err != nil {
			return err
		}
	}
	return t.socket.write(c, buffer)
}

// ended implements transport.
func (t *webSocket) ended() {
	if t.application != nil {
		close(t.application.done)
	}
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

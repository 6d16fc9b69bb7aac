package realtime

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// read takes messages until the connection ends, and returns why.
func (s *session) read() error {
	defer s.server.recoverIn(s)
	for {
		if err := s.readMessage(); err != nil {
			s.drainAfter(err)
			return err
		}
	}
}

func (s *session) readMessage() error {
	// The context is not the session's: one that ends would make the library
	// cut the connection in the middle of a close.
	kind, message, err := s.conn.Reader(context.Background())
	switch {
	case err != nil:
		return err
	case s.isClosing():
		_, err := io.Copy(io.Discard, message)
		return err
	}
	return s.readBody(kind, message)
}

// drainAfter lets the peer read the close frame that the library has sent over
// a violation of the WebSocket protocol: if the network connection were closed
// while received bytes are unread, the peer would get a reset instead.
func (s *session) drainAfter(err error) {
	if code, _ := s.socket.closeFrame(); code == 0 || websocket.CloseStatus(err) != -1 || !s.beginClosing() {
		return
	}
	s.out.close()
	s.endSubscriptions()
	io.Copy(io.Discard, s.socket)
}

// readBody reads the rest of a message and acts on it.
func (s *session) readBody(kind websocket.MessageType, message io.Reader) error {
	buffer := s.server.messages.Get().(*bytes.Buffer)
	defer s.server.putMessage(buffer)
	now := time.Now()
	s.messageArrived(now)
	retryAfter, flooded := s.limiter.take(now)
	if flooded {
		s.closeFlooded()
		_, err := io.Copy(io.Discard, message)
		return err
	}
	limit := s.server.options.MaxMessageBytes
	err := s.readLimited(buffer, message, now)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.closeSlow()
		return err
	case err != nil:
		return err
	case buffer.Len() > limit:
		s.closeInvalidMessage("the message is larger than the server accepts", "")
		_, err := io.Copy(io.Discard, message)
		return err
	case kind != websocket.MessageText:
		s.closeInvalidMessage("the message is binary; send JSON as a text message", "")
		return nil
	}
	m, err := wire.DecodeClient(buffer.Bytes(), wire.Limits{MaxBytes: -1, MaxDepth: s.server.options.MaxMessageDepth})
	switch {
	case err != nil:
		s.closeInvalidMessage(s.explain(buffer.Bytes(), err))
	case retryAfter > 0:
		s.refuseRateLimited(m, retryAfter)
	default:
		s.dispatch(m)
	}
	return nil
}

// readLimited reads a message that began at a time, up to one byte more than it may
// have. The buffer grows as bytes arrive, whatever length the frame announces.
func (s *session) readLimited(buffer *bytes.Buffer, message io.Reader, began time.Time) error {
	if timeout := s.server.options.MessageTimeout; timeout > 0 {
		s.socket.setReadDeadline(began.Add(timeout))
		defer s.socket.setReadDeadline(time.Time{})
	}
	_, err := buffer.ReadFrom(io.LimitReader(message, int64(s.server.options.MaxMessageBytes)+1))
	return err
}

// closeSlow ends the connection because a message was not complete in time. The rest
// of that message is not read as one, so that the peer can read the close frame.
func (s *session) closeSlow() {
	if s.close(codes.ClosePolicyViolation, "a message was not complete in time") {
		io.Copy(io.Discard, s.socket)
	}
}

// dispatch acts on a message. One that may have to wait goes into the request
// queue of its ShareData, so that nothing else waits for it.
func (s *session) dispatch(message wire.ClientMessage) {
	switch m := message.(type) {
	case *wire.Ping:
		s.pong(m)
	case *wire.Authenticate:
		s.renew(m)
	case *wire.Propose:
		// It is used after the buffer that it was read into is reused.
		m.ProposedData, m.Proof = bytes.Clone(m.ProposedData), bytes.Clone(m.Proof)
		s.admit(m)
	case *wire.Subscribe:
		s.enqueueRequest(m.ShareDataID, m)
	case *wire.Unsubscribe:
		s.enqueueRequest(m.ShareDataID, m)
	}
}

// closeInvalidMessage ends the connection because of a message that is not of the
// protocol.
func (s *session) closeInvalidMessage(why, correlationID string) {
	s.out.send(encode(&wire.Error{Code: codes.InvalidMessage, Message: why, CorrelationID: correlationID}))
	s.close(codes.CloseInvalidMessage, "invalid message")
}

// maxExplained is the largest invalid message, in bytes, that is explained by the
// schemas: they take much longer than the decoder, and a peer that sends garbage
// sends more of it.
const maxExplained = 64 << 10

// explain says what is wrong with a message, by the schemas if they find it.
func (s *session) explain(data []byte, err error) (why, correlationID string) {
	why = err.Error()
	var invalid *wire.DecodeError
	if errors.As(err, &invalid) {
		correlationID = invalid.CorrelationID
	}
	if len(data) > maxExplained || errors.Is(err, wire.ErrTooDeep) { // the schemas know no limit of depth
		return why, correlationID
	}
	validator, err := s.server.validator()
	if err != nil {
		s.server.log.Error("schemas are broken", "error", err)
		return why, correlationID
	}
	if detail := validator.ExplainClient(data); detail != nil {
		why = shorten(detail.Error())
	}
	return why, correlationID
}

// shorten bounds a text that quotes what a peer has sent.
func shorten(text string) string {
	const most = 2 << 10
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

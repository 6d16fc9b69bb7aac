package realtime

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// This file is what a session does with what its peer sends. The transport calls it
// with whole messages, one at a time.

// read takes messages until the connection ends, and returns why; or errReadOn.
func (s *session) read() error {
	defer s.server.recoverIn(s)
	return s.transport.read(s)
}

// countMessage is called when a message begins to arrive. It returns after which time
// the message may be sent again, if there are too many; flooded says that the
// connection is being closed because of that.
func (s *session) countMessage(now time.Time) (retryAfter time.Duration, flooded bool) {
	s.messageArrived(now)
	if retryAfter, flooded = s.limiter.take(&s.server.options, now); flooded {
		s.closeFlooded()
	}
	return retryAfter, flooded
}

// receive acts on a message, which it does not keep. retryAfter is from countMessage.
func (s *session) receive(text []byte, retryAfter time.Duration) {
	m, err := wire.DecodeClient(text, wire.Limits{MaxBytes: -1, MaxDepth: s.server.options.MaxMessageDepth})
	switch {
	case err != nil:
		s.closeInvalidMessage(s.explain(text, err))
	case retryAfter > 0:
		s.refuseRateLimited(m, retryAfter)
	default:
		s.dispatch(m)
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
		s.enqueueRequest(m.ShareDataID, "", m)
	case *wire.Unsubscribe:
		s.enqueueRequest(m.ShareDataID, "", m)
	}
}

// closeInvalidMessage ends the connection because of a message that is not of the
// protocol.
func (s *session) closeInvalidMessage(why, correlationID string) {
	s.out.send(encodeError(&wire.Error{Code: codes.InvalidMessage, Message: why, CorrelationID: correlationID}))
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

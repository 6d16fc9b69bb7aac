package realtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// exchange is the transport of one HTTP request: the session ends with its first reply,
// which is the response.
type exchange struct {
	request context.Context
	done    chan struct{} // closed when there is an outcome
	ending  sync.Once
	reply   *frame // nil where the session was closed without one
	code    int    // of the close frame then
	reason  string
}

// newExchange returns a session for a request. Callers end it.
func newExchange(s *Server, r *http.Request, pending *pendingConnection, counted *admitted) (*session, *exchange) {
	e := &exchange{request: r.Context(), done: make(chan struct{})}
	session := newSession(s, pending.info, counted)
	session.transport = e
	session.proposer = requester(&pending.info)
	return session, e
}

// requester names who makes a request: what one caller or address requests takes turns
// with what others do, in however many requests it comes.
func requester(info *Connection) string {
	if c := info.Caller; c != nil && c.Subject != "" {
		return "http/" + c.Issuer + "/" + c.Subject
	}
	if address := parseAddr(info.RemoteAddr); address.IsValid() {
		return "http/" + address.String()
	}
	return "http/" + info.RemoteAddr
}

// read implements transport.
func (e *exchange) read(*session) error {
	select {
	case <-e.done:
		return io.EOF
	case <-e.request.Done():
		return e.request.Err()
	}
}

// write implements transport.
func (e *exchange) write(c *chunk, _ *writeBuffer) error {
	for _, f := range c.frames {
		if f.kind == kindReply {
			e.end(f, 0, "")
		}
	}
	if c.last {
		e.end(nil, c.code, c.reason)
	}
	return nil
}

func (e *exchange) end(reply *frame, code int, reason string) {
	e.ending.Do(func() {
		e.reply, e.code, e.reason = reply, code, reason
		close(e.done)
	})
}

func (e *exchange) traffic() (received, written uint64) { return 0, 0 }
func (e *exchange) answersPings() bool                  { return false }
func (e *exchange) boundUnsent()                        {}
func (e *exchange) cut()                                { e.end(nil, codes.CloseGoingAway, "the server ended the request") }

func (e *exchange) closeFrame(error) (code int, reason string) { return codes.CloseNormal, "" }

// servePropose answers a request with the result of one proposal.
func (s *Server) servePropose(w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted) (goesOn bool) {
	if p, ok := s.countRequest(pending); !ok {
		reject(w, r, p)
		return false
	}
	body, err := s.readBody(w, r)
	if err != nil {
		reject(w, r, bodyProblem(err))
		return false
	}
	m, err := proposeOf(body, s.options.MaxMessageDepth)
	if err != nil {
		reject(w, r, newProblem(http.StatusBadRequest, codes.InvalidMessage, shorten(err.Error())))
		return false
	}
	session, e := newExchange(s, r, pending, counted)
	s.register(session, pending)
	session.admit(m)
	s.runSession(session)
	s.respond(w, r, e, m)
	return true
}

// respond writes the outcome of a proposal: a verdict as it is, anything else as a
// problem.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, e *exchange, m *wire.Propose) {
	if e.reply == nil {
		// The proposal may have been evaluated by now, so no other code would be true.
		p := newProblem(statusOf(codes.OutcomeUnknown), codes.OutcomeUnknown, "the server ended the request; propose again with the same idempotencyKey")
		if e.code == codes.CloseUnauthorized {
			p = newProblem(http.StatusUnauthorized, codes.OutcomeUnknown, e.reason)
		}
		reject(w, r, p)
		return
	}
	var result struct {
		TransactionID, Code, Error string
		Accepted                   bool
		Details                    json.RawMessage
		RetryAfterMs               uint64
	}
	if err := json.Unmarshal(e.reply.text, &result); err != nil {
		s.log.Error("a reply is not JSON", "error", err)
	}
	if result.TransactionID == "" {
		p := newProblem(statusOf(result.Code), result.Code, result.Error)
		p.Details, p.RetryAfterMs, p.CorrelationID = result.Details, result.RetryAfterMs, m.CorrelationID
		reject(w, r, p)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	respondJSON(w, r, e.reply.text)
}

func respondJSON(w http.ResponseWriter, r *http.Request, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodHead {
		w.Write(append(text[:len(text):len(text)], '\n'))
	}
}

var errTooLarge = errors.New("the body is larger than the server accepts")

// readBody reads the body of a request within Options.MaxMessageBytes and
// MessageTimeout.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if timeout := s.options.MessageTimeout; timeout > 0 {
		// Where no deadline can be set, that of the http.Server holds.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(s.options.MaxMessageBytes)+1))
	if err == nil && len(body) > s.options.MaxMessageBytes {
		err = errTooLarge
	}
	return body, err
}

func bodyProblem(err error) problem {
	if errors.Is(err, errTooLarge) {
		return newProblem(http.StatusRequestEntityTooLarge, codes.InvalidMessage, err.Error())
	}
	return newProblem(http.StatusBadRequest, codes.InvalidMessage, "the body could not be read")
}

// defaultCorrelationID is that of a proposal over HTTP that has none: the response needs
// none to be found.
const defaultCorrelationID = "propose"

// proposeOf decodes a propose frame that may leave out what is known: v, type and
// correlationId. The decoder of frames judges what results.
func proposeOf(body []byte, maxDepth int) (*wire.Propose, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) == nil && len(members) > 0 {
		frame := []byte("{")
		for _, known := range []struct{ name, value string }{{"v", "1"}, {"type", `"propose"`}, {"correlationId", `"` + defaultCorrelationID + `"`}} {
			if members[known.name] == nil {
				frame = append(frame, `"`+known.name+`":`+known.value+`,`...)
			}
		}
		body = append(frame, body[bytes.IndexByte(body, '{')+1:]...)
	}
	message, err := wire.DecodeClient(body, wire.Limits{MaxBytes: -1, MaxDepth: maxDepth})
	if err != nil {
		return nil, err
	}
	m, ok := message.(*wire.Propose)
	if !ok {
		return nil, errors.New(`the type of the frame must be "propose"`)
	}
	return m, nil
}

package realtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

// eventStreamType is the media type of server-sent events (HTML Standard, section 9.2).
const eventStreamType = "text/event-stream"

// eventStream is the transport of server-sent events. Its subscriptions are those of
// the request; the peer sends nothing more.
type eventStream struct {
	*socket
	session *session
	// response is nil where the network connection was taken over from net/http.
	response *streamResponse
	header   http.Header
	parts    []streamPart
	live     int  // how many of the parts have not ended
	begun    bool // the header of the response was written
}

// streamPart is one ShareData of an event stream, and where its peer is: at a cursor, or
// where it was before that, in its own words.
type streamPart struct {
	shareDataID string
	at          replay.Cursor
	since       string
}

// serveEventStream begins a session for the subscriptions that a request names.
func (s *Server) serveEventStream(w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted) (goesOn bool) {
	subscribes, err := subscribesOf(r, s.options.MaxSubscriptions)
	if err != nil {
		reject(w, r, newProblem(http.StatusBadRequest, codes.InvalidMessage, shorten(err.Error())))
		return false
	}
	return s.streamEvents(w, r, pending, counted, subscribes, nil)
}

// streamEvents begins a session for subscriptions, in a protocol of the application's or
// nil for the frames of package wire.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted, subscribes []*wire.Subscribe,
	protocol *Protocol) (goesOn bool) {
	session := newSession(s, pending.info, counted)
	session.protocol = protocol
	t := &eventStream{session: session, live: len(subscribes)}
	for _, m := range subscribes {
		since := m.Since
		if _, err := replay.ParseCursor(since); err != nil {
			since = "" // it might have line breaks
		}
		t.parts = append(t.parts, streamPart{shareDataID: m.ShareDataID, since: since})
	}
	if err := t.open(w, r); err != nil {
		session.ctx.cancel()
		session.serving.cancel()
		s.log.Debug("no event stream", "remote", pending.info.RemoteAddr, "error", shorten(err.Error()))
		return false
	}
	session.transport = t
	s.register(session, pending)
	for _, m := range subscribes {
		session.enqueueRequest(m.ShareDataID, "", m)
	}
	if t.response == nil {
		s.startSession(session, s.await) // for its end: the peer sends nothing
	} else {
		s.runSession(session) // the response ends when this returns
	}
	return true
}

// open takes the connection over where that is possible, so that an idle stream costs
// no buffers of net/http; HTTP/2 shares it with other requests.
func (t *eventStream) open(w http.ResponseWriter, r *http.Request) error {
	t.header = w.Header()
	t.header.Set("Content-Type", eventStreamType)
	t.header.Set("Cache-Control", "no-store")
	t.header.Set("X-Accel-Buffering", "no") // nginx would wait for more
	controller := http.NewResponseController(w)
	if r.ProtoMajor == 1 && canHijack(w) {
		conn, buffered, err := controller.Hijack()
		if err != nil {
			return err
		}
		if buffered.Reader.Buffered() > 0 {
			conn.Close()
			return errors.New("the client has sent more than the request")
		}
		t.header.Set("Connection", "close")
		t.socket = newSocket(conn, nil, &t.session.server.poller)
		return nil
	}
	t.response = newStreamResponse(w, r)
	t.socket = newSocket(t.response, nil, &t.session.server.poller)
	// Where no deadlines can be set, those of the http.Server end the stream, and its
	// client reconnects.
	_ = controller.SetReadDeadline(time.Time{})
	_ = controller.SetWriteDeadline(time.Time{})
	return nil
}

// read implements transport: it waits for the end of the connection.
func (t *eventStream) read(*session) error {
	if t.response != nil {
		return t.response.wait()
	}
	var ignored [16]byte
	n, err := t.Conn.Read(ignored[:])
	if n > 0 {
		return errors.New("the client has sent more than the request")
	}
	return err
}

// write implements transport.
func (t *eventStream) write(c *chunk, buffer *writeBuffer) error {
	t.writing.lock()
	defer t.writing.unlock()
	w := newSegments(t.socket, buffer)
	if !t.begun {
		t.begun = true
		if refused := t.refusal(c); refused != nil {
			t.writeHeader(&w, refused.Status, refused.header(t.header))
			err := errors.Join(w.flush(), t.flush())
			t.cut()
			return errors.Join(err, errRefused)
		}
		t.writeHeader(&w, http.StatusOK, nil)
		w.copy(appendRetry(nil))
	}
	if c.ping {
		w.copy([]byte(":\n\n"))
	}
	for _, f := range c.frames {
		if t.session.protocol == nil {
			buffer.line = t.writeEvent(&w, buffer.line[:0], f)
		} else if err := t.writeMessage(&w, f); err != nil {
			return err
		}
	}
	if c.last && t.session.protocol == nil {
		w.copy(appendCloseEvent(nil, c.code, c.reason))
	}
	err := errors.Join(w.flush(), t.flush())
	buffer.parts = w.parts[:0]
	switch {
	case c.last:
		t.cut()
	case t.live <= 0 && err == nil:
		t.session.close(codes.CloseNormal, "no subscription is left")
	}
	return err
}

func (t *eventStream) flush() error {
	if t.response == nil {
		return nil
	}
	return t.response.flush()
}

var errRefused = errors.New("the subscription was refused")

// refusal returns the response to a request for one ShareData that cannot be
// subscribed to; nil for none.
func (t *eventStream) refusal(c *chunk) *problem {
	if len(t.parts) > 1 || len(c.frames) == 0 || c.frames[0].kind != kindRefusal {
		return nil
	}
	var e wire.Error
	if json.Unmarshal(c.frames[0].text, &e) != nil {
		return nil
	}
	p := newProblem(statusOf(e.Code), e.Code, e.Message)
	p.RetryAfterMs = e.RetryAfterMs
	return &p
}

// writeHeader begins the response.
func (t *eventStream) writeHeader(w *segments, status int, body []byte) {
	if t.response != nil {
		t.response.WriteHeader(status)
		w.copy(body)
		return
	}
	var text bytes.Buffer
	text.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n")
	t.header.Write(&text) // to a bytes.Buffer, which does not fail
	text.WriteString("Date: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n\r\n")
	text.Write(body)
	w.copy(text.Bytes())
	t.header = nil
}

// writeEvent writes a frame as an event, whose id is the position after it. It returns
// the line, which is memory for the fields before the data.
func (t *eventStream) writeEvent(w *segments, line []byte, f *frame) []byte {
	name := eventNames[f.kind]
	if name == "" {
		return line // the reply to a message, of which there are none
	}
	t.move(f)
	line = append(append(append(line, "event: "...), name...), '\n')
	if f.kind != kindRefusal {
		line = append(t.appendID(append(line, "id: "...)), '\n')
	}
	line = append(line, "data: "...)
	w.copy(line)
	for rest, more := f.text, true; more; {
		var part []byte
		if part, rest, more = bytes.Cut(rest, newline); more {
			w.copy(part) // of a text of several lines, which JSON may have between its tokens
			w.copy([]byte("\ndata: "))
			continue
		}
		w.add(part)
	}
	w.copy([]byte("\n\n"))
	return line
}

// writeMessage writes what the application's protocol says.
func (t *eventStream) writeMessage(w *segments, f *frame) error {
	encoded, err := t.session.encoded(f)
	if err != nil {
		return err
	}
	t.move(f)
	w.add(encoded.text)
	return nil
}

// move notes what a frame says about the positions of the peer.
func (t *eventStream) move(f *frame) {
	for i := range t.parts {
		p := &t.parts[i]
		if p.shareDataID != f.shareDataID {
			continue
		}
		if !f.cursor.IsZero() {
			p.at = f.cursor
		}
		if f.kind == kindRemoval || f.kind == kindRefusal {
			t.live--
		}
	}
}

func (t *eventStream) appendID(dst []byte) []byte {
	for i := range t.parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		if p := &t.parts[i]; p.at.IsZero() {
			dst = append(dst, p.since...)
		} else {
			dst = p.at.AppendTo(dst)
		}
	}
	return dst
}

var newline = []byte("\n")

var eventNames = [...]string{
	kindState: wire.TypeState, kindTransaction: wire.TypeTransaction, kindLifecycle: wire.TypeLifecycle, kindRemoval: wire.TypeLifecycle,
	kindError: wire.TypeError, kindRefusal: wire.TypeError,
}

// appendRetry appends after how many milliseconds the client reconnects: not all at
// once, when a server with many has ended.
func appendRetry(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, "retry: "...), 500+rand.Int64N(1500), 10)
	return append(dst, "\n\n"...)
}

// appendCloseEvent appends the last event, which says what a close frame would.
func appendCloseEvent(dst []byte, code int, reason string) []byte {
	quoted, err := json.Marshal(reason)
	if err != nil {
		quoted = []byte(`""`) // no string fails to marshal
	}
	dst = strconv.AppendInt(append(dst, "event: close\ndata: {\"v\":1,\"type\":\"close\",\"code\":"...), int64(code), 10)
	return append(append(append(dst, `,"reason":`...), quoted...), "}\n\n"...)
}

// answersPings implements transport: a living peer sends nothing.
func (t *eventStream) answersPings() bool { return false }

// traffic implements transport.
func (t *eventStream) traffic() (received, written uint64) { return 0, t.written.Load() }

// cut implements transport.
func (t *eventStream) cut() { t.socket.Close() }

// closeFrame implements transport.
func (t *eventStream) closeFrame(err error) (code int, reason string) {
	if errors.Is(err, io.EOF) {
		return codes.CloseNormal, "the client ended the stream"
	}
	return 0, ""
}

// subscribesOf returns the subscriptions that a request for an event stream names.
func subscribesOf(r *http.Request, most int) (subscribes []*wire.Subscribe, err error) {
	query := r.URL.Query()
	ids, since := query["shareDataId"], query["since"]
	if last := LastEventID(r); last != "" {
		if since = []string{last}; len(ids) > 1 {
			since = strings.Split(last, ",")
		}
	}
	switch {
	case len(ids) == 0:
		return nil, errors.New("name a ShareData: ?shareDataId=…")
	case len(ids) > most:
		return nil, errors.New("too many ShareData for one stream; use several")
	}
	for i, id := range ids {
		m := &wire.Subscribe{
			ShareDataID: id, ReplayLifecycle: true, KeepConnection: true,
			Patches: isTrue(query.Get("patches")), IncludeState: isTrue(query.Get("includeState")),
			Activity: isTrue(query.Get("activity")), Conflate: isTrue(query.Get("conflate")),
		}
		if i < len(since) {
			m.Since = since[i]
		}
		if slices.Contains(ids[:i], id) {
			return nil, errors.New("a ShareData is named twice")
		}
		// Judged as the frame that says the same.
		if _, err := wire.DecodeClient(m.AppendTo(nil), wire.Limits{}); err != nil {
			return nil, err
		}
		subscribes = append(subscribes, m)
	}
	return subscribes, nil
}

func isTrue(text string) bool { return text == "true" || text == "1" }

// LastEventID returns the id of the last event that the client of an event stream has
// seen, from the header Last-Event-ID, which browsers send when they reconnect, or the
// query parameter lastEventId; empty for none.
func LastEventID(r *http.Request) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return r.URL.Query().Get("lastEventId")
}

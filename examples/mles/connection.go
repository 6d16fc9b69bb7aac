package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

const (
	subprotocol = "mles-websocket"
	// maxMessage is the largest message in bytes.
	maxMessage = 1 << 20
)

// refuse returns an error for which serve closes the connection with a code and a reason. The
// causes are for the log.
func refuse(code websocket.StatusCode, reason string, causes ...error) error {
	return errors.Join(append(causes, websocket.CloseError{Code: code, Reason: reason})...)
}

// connection is a WebSocket to a client or a peer, on one channel. It is the realtime.Peer
// of its session, which writes; serve reads.
type connection struct {
	service *service
	ws      *websocket.Conn
	id      string // of idBytes, unique everywhere
	session *realtime.Session
	uid     string
	channel string // the id of the ShareData
	peer    uint64 // the epoch of the channel's history at the other side of a link; 0 for a client
}

// idBytes is the length of a connection's id: 130 random bits in base 32.
const idBytes = 26

// accept serves the WebSocket of a client or a peer.
func (s *service) accept(w http.ResponseWriter, r *http.Request) {
	offered := strings.FieldsFunc(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), func(c rune) bool { return c == ',' || c == ' ' })
	if !slices.Contains(offered, subprotocol) {
		http.Error(w, "set the header Sec-WebSocket-Protocol: "+subprotocol, http.StatusBadRequest)
		return
	}
	link := r.Header.Get(peerHeader) != ""
	w.Header().Set(peerHeader, peerVersion) // a client ignores it
	s.running.Add(1)
	defer s.running.Done()
	// A client is identified by its first frame and never by a cookie, so pages of other
	// hosts cannot act for a user.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has replied
	}
	ws.SetReadLimit(maxFirstFrame)
	err = s.serve(ws, r, link, func(ctx context.Context) (firstFrame, error) {
		kind, text, err := ws.Read(ctx)
		if err != nil {
			return firstFrame{}, err
		}
		first, err := parseFirstFrame(kind, text)
		if err == nil && (!first.authorized(s.config.key) || link && first.UID != peerUID) {
			err = refuse(websocket.StatusPolicyViolation, "auth is missing or wrong, or the uid of a peer is")
		}
		return first, err
	})
	s.log.Debug("connection ended", "remote", r.RemoteAddr, "error", err)
}

// serve serves a connection until it ends. hello reads or writes the first frame; a link is
// a connection between peers.
func (s *service) serve(ws *websocket.Conn, r *http.Request, link bool, hello func(context.Context) (firstFrame, error)) (err error) {
	c := &connection{service: s, ws: ws, id: rand.Text()[:idBytes]}
	defer ws.CloseNow()
	// No caller has a subject, because each subject has idempotency keys of its own.
	options := &realtime.SessionOptions{Protocol: channelProtocol, Caller: &sharedata.Caller{}, AnswersPings: true}
	if c.session, err = s.realtime.Open(r, c, options); err != nil {
		ws.Close(websocket.StatusTryAgainLater, err.Error())
		return err
	}
	since, err := c.join(link, hello)
	if err == nil {
		c.session.Subscribe(realtime.Subscription{ShareDataID: c.channel, Since: since.String()})
		err = c.receive()
	}
	if refused, ok := errors.AsType[websocket.CloseError](err); ok {
		ws.Close(refused.Code, refused.Reason) // does nothing if the other side has closed it
	}
	c.session.End()
	<-c.session.Done()
	return err
}

// join puts the connection on a channel, which is created on first use, and returns the
// position after which the other side is sent the history.
func (c *connection) join(link bool, hello func(context.Context) (firstFrame, error)) (since replay.Cursor, err error) {
	s := c.service
	timeout, cancel := context.WithTimeout(context.Background(), s.config.heartbeat)
	defer cancel()
	first, err := hello(timeout)
	if err != nil {
		return since, err
	}
	c.uid, c.channel = first.UID, idPrefix+first.Channel
	head, err := s.manager.EnsureKind(timeout, c.channel, channelKind.Name, channelState{})
	if err != nil {
		return since, refuse(websocket.StatusTryAgainLater, "the channel cannot be read at the moment: connect again later", err)
	}
	s.link(first.Channel)
	if link {
		return c.greet(timeout, head)
	}
	c.ws.SetReadLimit(maxMessage)
	return s.replayable(timeout, c.channel, s.newest(head.Cursor)), nil
}

// receive stores the messages of the client or peer. A message is read when the one before it
// is stored: a connection that ends has lost nothing that was read, and keeps one message in
// memory.
func (c *connection) receive() error {
	for n := 1; ; n++ {
		kind, content, err := c.ws.Read(context.Background()) // until the session ends
		if err != nil {
			return err
		}
		c.session.Received()
		id := c.id + "-" + strconv.Itoa(n)
		m := message{From: c.id, UID: c.uid, Binary: content}
		if c.peer != 0 {
			if m.Position, id, m.Binary, err = parseLine(content); err != nil || m.Position.Epoch != c.peer {
				return refuse(websocket.StatusPolicyViolation, "not a message of a peer")
			}
		}
		if kind == websocket.MessageText {
			if !utf8.Valid(m.Binary) {
				return refuse(websocket.StatusInvalidFramePayloadData, "a text frame must be UTF-8")
			}
			m.Text, m.Binary = string(m.Binary), nil
		}
		// A session that ends meanwhile does not lose the message: the manager bounds the time.
		_, err = c.service.manager.Propose(context.Background(), sharedata.Proposal{
			ShareDataID: c.channel, FunctionID: "send", Connection: c.id, Data: &m, IdempotencyKey: id,
		})
		if err != nil {
			return refuse(websocket.StatusTryAgainLater, "the last message was not stored: connect, and send it again", err)
		}
	}
}

// Write implements realtime.Peer. A connection is not sent the messages that came by it.
func (c *connection) Write(messages [][]byte) error {
	for _, m := range messages {
		if m[0] == frameProblem {
			c.ws.Close(websocket.StatusTryAgainLater, "the history cannot be read: connect again")
			return fmt.Errorf("history of %s: %s", c.channel, m[1:])
		}
		kind, from, content := websocket.MessageType(m[0]), string(m[1:1+idBytes]), m[1+idBytes:]
		if from == c.id {
			continue
		}
		if c.peer == 0 {
			_, content, _ = bytes.Cut(content, []byte("\n"))
		}
		if err := c.ws.Write(context.Background(), kind, content); err != nil { // Close ends it
			return err
		}
	}
	return nil
}

// Ping implements realtime.Peer. It does not wait for the pong, which serve reads after it
// has set the session.
func (c *connection) Ping() error {
	c.service.running.Go(func() {
		if c.ws.Ping(context.Background()) == nil { // ended by the end of the connection
			c.session.Received()
		}
	})
	return nil
}

// Close implements realtime.Peer.
func (c *connection) Close(code int, reason string) {
	if code == codes.CloseNormal {
		c.ws.CloseNow()
		return
	}
	c.ws.Close(websocket.StatusCode(code), reason)
}

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
	"sync"
	"time"
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
	// helloTimeout is how long a client has to send its first frame, and a peer its greeting.
	helloTimeout = 30 * time.Second
)

// refusal is why the server closes a connection.
type refusal = websocket.CloseError

func refuse(code websocket.StatusCode, reason string) error {
	return &refusal{Code: code, Reason: reason}
}

// connection is a WebSocket to a client or a peer, on one channel. It is the realtime.Peer
// of its session, which writes; serve reads.
type connection struct {
	service *service
	ws      *websocket.Conn
	id      string // of idBytes, unique everywhere
	session *realtime.Session
	opened  chan struct{} // closed when session is set
	pings   sync.WaitGroup
	uid     string
	channel string // the id of the ShareData
	peer    uint64 // the epoch of the channel's history at the other side of a link; 0 for a client
}

// idBytes is the length of a connection's id: 130 random bits in base 32.
const idBytes = 26

// serve serves a connection until it ends. hello says who is on which channel; a link is a
// connection between peers.
func (s *service) serve(ws *websocket.Conn, r *http.Request, link bool, hello func(context.Context) (firstFrame, error)) (err error) {
	c := &connection{service: s, ws: ws, id: rand.Text()[:idBytes], opened: make(chan struct{})}
	defer c.pings.Wait()
	defer ws.CloseNow()
	// No caller has a subject, because each subject has idempotency keys of its own.
	options := &realtime.SessionOptions{Protocol: channelProtocol, Caller: &sharedata.Caller{}, AnswersPings: true}
	if c.session, err = s.realtime.Open(r, c, options); err != nil {
		ws.Close(websocket.StatusTryAgainLater, err.Error())
		return err
	}
	close(c.opened)
	since, err := c.join(link, hello)
	if err == nil {
		c.session.Subscribe(realtime.Subscription{ShareDataID: c.channel, Since: since.String()})
		err = c.receive()
	}
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		ws.Close(refused.Code, refused.Reason)
	}
	c.session.End()
	<-c.session.Done()
	return err
}

// join puts the connection on a channel, which is created on first use, and returns the
// position after which the other side is sent the history.
func (c *connection) join(link bool, hello func(context.Context) (firstFrame, error)) (since replay.Cursor, err error) {
	s := c.service
	timeout, cancel := context.WithTimeout(s.ctx, helloTimeout)
	defer cancel()
	first, err := hello(timeout)
	if err != nil {
		return since, err
	}
	c.uid, c.channel = first.UID, idPrefix+first.Channel
	head, err := s.manager.EnsureKind(timeout, c.channel, channelKind.Name, channelState{})
	if err != nil {
		s.log.Warn("a channel cannot be joined", "channel", c.channel, "error", err)
		return since, refuse(websocket.StatusTryAgainLater, "the channel cannot be read at the moment: connect again later")
	}
	s.links.open(first.Channel)
	if link {
		return c.greet(timeout, head)
	}
	c.ws.SetReadLimit(maxMessage)
	return s.replayable(c.channel, s.newest(head.Cursor)), nil
}

// receive stores what comes. A message is read when the one before it is stored: a
// connection that ends has lost nothing that was read, and keeps one message in memory.
func (c *connection) receive() error {
	for n := 1; ; n++ {
		kind, content, err := c.ws.Read(context.Background()) // the session ends it
		if err != nil {
			return err
		}
		c.session.Received()
		m := message{ID: c.id + "-" + strconv.Itoa(n), From: c.id, UID: c.uid, Binary: content}
		if c.peer != 0 {
			if m.Position, m.ID, m.Binary, err = parseLine(content); err != nil || m.Position.Epoch != c.peer {
				return refuse(websocket.StatusPolicyViolation, "not a message of a peer")
			}
		}
		if kind == websocket.MessageText {
			text := string(m.Binary)
			if m.Text, m.Binary = &text, nil; !utf8.ValidString(text) {
				return refuse(websocket.StatusInvalidFramePayloadData, "a text frame must be UTF-8")
			}
		}
		_, err = c.service.manager.Propose(c.service.ctx, sharedata.Proposal{
			ShareDataID: c.channel, FunctionID: "send", Connection: c.id, Data: &m, IdempotencyKey: m.ID,
		})
		if err != nil {
			c.service.log.Warn("a message cannot be stored", "channel", c.channel, "error", err)
			return refuse(websocket.StatusTryAgainLater, "the last message was not stored: connect, and send it again")
		}
	}
}

// Write implements realtime.Peer. A connection is not sent what came by it.
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

// Ping implements realtime.Peer. It does not wait for the pong.
func (c *connection) Ping() error {
	c.pings.Go(func() {
		<-c.opened
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

// accept serves the WebSocket of a client or a peer.
func (s *service) accept(w http.ResponseWriter, r *http.Request) {
	offered := strings.FieldsFunc(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), func(c rune) bool { return c == ',' || c == ' ' })
	if !slices.Contains(offered, subprotocol) {
		http.Error(w, "set the header Sec-WebSocket-Protocol: "+subprotocol, http.StatusBadRequest)
		return
	}
	link := r.Header.Get(peerHeader) != ""
	if link {
		w.Header().Set(peerHeader, peerVersion)
	}
	s.connections.Add(1)
	defer s.connections.Done()
	// A first frame says who a client is, and no cookie, so pages of other hosts cannot
	// act for anybody.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has replied
	}
	ws.SetReadLimit(maxFirstFrame)
	err = s.serve(ws, r, link, func(ctx context.Context) (first firstFrame, err error) {
		kind, text, err := ws.Read(ctx)
		if err == nil {
			first, err = parseFirstFrame(kind, text)
		}
		if err == nil && (!first.authorized(s.key) || link && first.UID != peerUID) {
			err = refuse(websocket.StatusPolicyViolation, "auth is missing or wrong, or the uid of a peer is")
		}
		return first, err
	})
	s.log.Debug("connection ended", "remote", r.RemoteAddr, "error", err)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// A server connects to a peer as another client would, once for each channel: a link. The
// header Mles-Peer, in the request and in the response, says that both know more: after
// the first frame each side sends a greeting, and from then on what the other does not
// have yet, each message after a line with its position and its ID.
const (
	peerHeader  = "Mles-Peer"
	peerVersion = "1"
	peerUID     = "mles-peer" // of the first frame of a link
	maxLine     = 256         // bytes
)

// greeting is what one side of a link has of a channel.
type greeting struct {
	// Position is that of the newest message, and Seen channelState.Seen.
	Position replay.Cursor     `json:"position"`
	Seen     map[uint64]uint64 `json:"seen"`
}

// greet exchanges greetings, and returns what the peer has of this server's history.
func (c *connection) greet(ctx context.Context, head sharedata.Snapshot) (since replay.Cursor, err error) {
	c.ws.SetReadLimit(maxMessage + maxLine)
	state, err := sharedata.Decode[channelState](head.State)
	if err != nil {
		return since, err
	}
	if err := wsjson.Write(ctx, c.ws, greeting{head.Cursor, state.Seen}); err != nil {
		return since, err
	}
	_, text, err := c.ws.Read(ctx)
	if err != nil {
		return since, err
	}
	peer, err := parseGreeting(text)
	if err != nil || peer.Position.Epoch == head.Cursor.Epoch {
		return since, refuse(websocket.StatusPolicyViolation, "not the greeting of a peer with a history of its own")
	}
	c.peer = peer.Position.Epoch
	since = c.service.newest(head.Cursor)
	if seen := peer.Seen[head.Cursor.Epoch]; seen > 0 {
		since.Revision = seen
	}
	c.service.log.Info("linked", "channel", c.channel)
	kept := c.service.replayable(c.channel, since)
	if kept.After(since) {
		c.service.log.Warn("a peer has missed messages that are no longer kept", "channel", c.channel, "after", since.String(), "up to", kept.String())
	}
	return kept, nil
}

func parseGreeting(text []byte) (g greeting, err error) {
	if err = json.Unmarshal(text, &g); err == nil && g.Position.Revision == 0 {
		err = errors.New("no position")
	}
	return g, err
}

// appendLine appends what comes before a message on a link.
func appendLine(dst []byte, position replay.Cursor, id string) []byte {
	return append(append(append(position.AppendTo(dst), ' '), id...), '\n')
}

// parseLine decodes a message on a link.
func parseLine(frame []byte) (position replay.Cursor, id string, content []byte, err error) {
	line, content, found := bytes.Cut(frame, []byte("\n"))
	text, id, _ := strings.Cut(string(line), " ")
	position, err = replay.ParseCursor(text)
	if !found || len(line) >= maxLine {
		err = errors.New("no line")
	}
	return position, id, content, errors.Join(err, checkName("id", id))
}

// links are the links of a server to its peers.
type links struct {
	service *service
	peers   []string
	client  *http.Client
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	channels map[string]bool // that are linked
}

func newLinks(s *service, peers []string) *links {
	l := &links{service: s, peers: peers, channels: make(map[string]bool)}
	l.client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	l.ctx, l.cancel = context.WithCancel(s.ctx)
	return l
}

// open links a channel, from now on until close.
func (l *links) open(channel string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.channels[channel] || l.ctx.Err() != nil {
		return
	}
	l.channels[channel] = true
	for _, peer := range l.peers {
		l.running.Go(func() { l.keep(peer, channel) })
	}
}

// keep connects to a peer again and again, after longer and longer pauses if that fails.
func (l *links) keep(peer, channel string) {
	pauses := backoff.NewExponentialBackOff(backoff.WithMaxInterval(30*time.Second), backoff.WithMaxElapsedTime(0))
	connect := func() error {
		began := time.Now()
		err := l.connect(peer, channel)
		if time.Since(began) > time.Minute {
			pauses.Reset()
		}
		return err
	}
	backoff.RetryNotify(connect, backoff.WithContext(pauses, l.ctx), func(err error, pause time.Duration) {
		l.service.log.Warn("not linked", "peer", peer, "channel", channel, "error", err, "again in", pause)
	})
}

// close ends all links.
func (l *links) close() {
	l.mu.Lock()
	l.cancel() // no link is opened after this
	l.mu.Unlock()
	l.running.Wait()
	l.client.CloseIdleConnections()
}

var errNoPeer = errors.New("the server does not answer " + peerHeader + ": its messages have no IDs, so repeats would not be noticed")

// connect serves a link until it ends.
func (l *links) connect(peer, channel string) error {
	ws, response, err := websocket.Dial(l.ctx, peer, &websocket.DialOptions{
		HTTPClient: l.client, HTTPHeader: http.Header{peerHeader: {peerVersion}}, Subprotocols: []string{subprotocol},
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(l.ctx, func() { ws.CloseNow() })()
	if response.Header.Get(peerHeader) != peerVersion {
		ws.CloseNow()
		return errNoPeer
	}
	self := &http.Request{RemoteAddr: "127.0.0.1:0"} // limits for clients do not count it
	return l.service.serve(ws, self, true, func(ctx context.Context) (firstFrame, error) {
		auth := fmt.Sprintf("%016x", authHash(peerUID, channel, l.service.key))
		first := firstFrame{UID: peerUID, Channel: channel, Auth: auth}
		return first, wsjson.Write(ctx, ws, first)
	})
}

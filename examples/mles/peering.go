package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
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
	// maxLine is the longest line in bytes: a position of at most 41, a space, an ID of at most
	// maxName, and the newline. The limit of a frame has room for it beside the largest message,
	// so that each message that one server accepts from a peer is accepted by the next server.
	maxLine = 41 + 1 + maxName + 1
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
	since.Revision = cmp.Or(peer.Seen[head.Cursor.Epoch], since.Revision)
	c.service.log.Info("linked", "channel", c.channel)
	kept := c.service.replayable(ctx, c.channel, since)
	if kept.After(since) {
		c.service.log.Warn("a peer has missed messages that are no longer kept", "channel", c.channel, "after", since.String(), "up to", kept.String())
	}
	return kept, nil
}

func parseGreeting(text []byte) (g greeting, err error) {
	if err = json.Unmarshal(text, &g); err == nil && (g.Position.Epoch == 0 || g.Position.Revision == 0) {
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
	if !found || len(content) > maxMessage {
		err = errors.New("no line, or too much after it")
	}
	return position, id, content, errors.Join(err, checkName("id", id))
}

// link links a channel to the peers, from now on until the service shuts down.
func (s *service) link(channel string) {
	if _, linked := s.linked.LoadOrStore(channel, true); linked {
		return
	}
	for _, peer := range s.config.peers {
		s.running.Go(func() { s.keepLink(peer, channel) })
	}
}

// keepLink connects to a peer again and again, after longer and longer pauses if that fails.
func (s *service) keepLink(peer, channel string) {
	pauses := backoff.NewExponentialBackOff(backoff.WithMaxInterval(30*time.Second), backoff.WithMaxElapsedTime(0))
	connect := func() error {
		began := time.Now()
		err := s.connect(peer, channel)
		if time.Since(began) > time.Minute {
			pauses.Reset()
		}
		return err
	}
	backoff.RetryNotify(connect, backoff.WithContext(pauses, s.linking), func(err error, pause time.Duration) {
		s.log.Warn("not linked", "peer", peer, "channel", channel, "error", err, "again in", pause)
	})
}

// connect serves a link until it ends.
func (s *service) connect(peer, channel string) error {
	ws, response, err := websocket.Dial(s.linking, peer, &websocket.DialOptions{
		HTTPHeader: http.Header{peerHeader: {peerVersion}}, Subprotocols: []string{subprotocol},
	})
	if err != nil {
		return err
	}
	if response.Header.Get(peerHeader) != peerVersion {
		ws.CloseNow()
		return errors.New("the server does not answer " + peerHeader + ": its messages have no IDs, so repeats would not be noticed")
	}
	return s.serve(ws, &http.Request{RemoteAddr: peer}, true, func(ctx context.Context) (firstFrame, error) {
		auth := fmt.Sprintf("%016x", authHash(peerUID, channel, s.config.key))
		first := firstFrame{UID: peerUID, Channel: channel, Auth: auth}
		return first, wsjson.Write(ctx, ws, first)
	})
}

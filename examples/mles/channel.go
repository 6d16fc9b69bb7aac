package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// idPrefix makes the id of a channel's ShareData of its name.
const idPrefix = "mles/"

// channelState is the state of a channel. The messages are not in it, but in the history:
// each is the proposed data of a transaction.
type channelState struct {
	// Seen is how far this server has stored the histories of its peers: the revision by
	// epoch. It moves with the message that it counts, so that a link continues right
	// after that message, also after a restart.
	Seen map[uint64]uint64 `json:"seen"`
}

// maxSeen is how many histories of peers are remembered. A peer that keeps a channel in
// memory begins a new one whenever it starts.
const maxSeen = 16

// message is what was sent to a channel. Its ID is the idempotency key of the transaction.
// Peers pass it on, so that each server has each message once, whichever ways it comes.
type message struct {
	// From is the connection by which this server got the message, to which it is not sent
	// back, and UID the name of the client or peer there.
	From string `json:"from"`
	UID  string `json:"uid"`
	// Binary is the content of a binary frame; nil for a text frame, which has Text.
	Text   string `json:"text,omitempty"`
	Binary []byte `json:"binary,omitzero"`
	// Position is that in the history of the peer that passed the message on.
	Position replay.Cursor `json:"position,omitzero"`
}

// channelKind has the one function of channels, which stores a message.
var channelKind = sharedata.NewKind("channel", sharedata.NewFunction("send",
	func(_ context.Context, c channelState, m message) (channelState, error) {
		if m.Position.IsZero() {
			return c, nil // from a client
		}
		if c.Seen == nil {
			c.Seen = make(map[uint64]uint64)
		}
		c.Seen[m.Position.Epoch] = max(c.Seen[m.Position.Epoch], m.Position.Revision)
		if len(c.Seen) > maxSeen {
			delete(c.Seen, slices.Min(slices.Collect(maps.Keys(c.Seen)))) // epochs begin with the time
		}
		return c, nil
	}))

// channelProtocol writes a message once for all connections: the type of its frame, the
// connection that it came from, a line for peers (appendLine), and the content.
var channelProtocol = &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte {
	switch m.Type {
	case realtime.MessageTransaction:
		var sent message
		if err := json.Unmarshal(m.Entry.Data, &sent); err != nil {
			return append(append(dst, frameProblem), err.Error()...)
		}
		kind, content := websocket.MessageBinary, sent.Binary
		if content == nil {
			kind, content = websocket.MessageText, []byte(sent.Text)
		}
		dst = append(append(dst, byte(kind)), sent.From...)
		return append(appendLine(dst, m.Cursor, m.Entry.IdempotencyKey), content...)
	case realtime.MessageError, realtime.MessageRemoved:
		return append(append(dst, frameProblem), m.Text...)
	}
	return dst
}}

// frameProblem, in place of the type of a frame, says that what follows is not a message but
// the reason why the connection cannot go on.
const frameProblem = 0

// newest returns the position after which the newest messages are, as many as newcomers
// are sent. The first entry of a history is no message.
func (s *service) newest(head replay.Cursor) replay.Cursor {
	return replay.Cursor{Epoch: head.Epoch, Revision: head.Revision - min(uint64(s.config.limit), head.Revision-1)}
}

// replayable returns the position after, or a later one if the store no longer keeps all that
// followed: the first after which it keeps everything.
func (s *service) replayable(ctx context.Context, id string, after replay.Cursor) replay.Cursor {
	for _, err := range s.manager.History(ctx, id, after) {
		if lost, ok := errors.AsType[*replay.CursorError](err); ok {
			after.Revision = max(lost.Oldest-1, 1)
		}
		break
	}
	return after
}

package realtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Protocol is another protocol than that of package schemas, in which an application
// serves its own clients; see Server.Open and Server.ServeWebSocket. It is shared by all its sessions, as each
// commit is encoded once for all of them.
type Protocol struct {
	// Encode appends what a client is sent for a message, and returns the extended
	// slice; nothing appended is nothing sent. It is called from any number of
	// goroutines, also inside the section that orders commits, so it must not block.
	// Where it panics, the sessions that would be sent the message are cut, and the
	// panic is logged.
	Encode func(dst []byte, m *Message) []byte
}

// MessageType says what a Message is about.
type MessageType int

// The types of messages.
const (
	// MessageState begins a subscription, or takes the place of what was skipped.
	MessageState MessageType = iota + 1
	// MessageTransaction is a verdict in the history, accepted or rejected.
	MessageTransaction
	// MessageUpdated is a state that the service has set.
	MessageUpdated
	// MessageRemoved is the end of the ShareData, and of the subscription.
	MessageRemoved
	// MessageResult is the result of a proposal of this session.
	MessageResult
	// MessageError is about a subscription that was refused or has a gap
	// (codes.ReplayCursorNotFound), or says why the session is being closed.
	MessageError
	// MessageUnsubscribed is the reply of Session.UnsubscribeWith.
	MessageUnsubscribed
)

// Message is what a session has to say. The fields that a type has no use for are zero.
// It is valid during the call of Encode, and what it refers to must not be changed.
type Message struct {
	Type        MessageType
	ShareDataID string
	// Cursor is the position of the state or the entry, from which a client can resume.
	Cursor replay.Cursor
	// State is that at the Cursor: of MessageState, and of live MessageTransaction and
	// MessageUpdated.
	State json.RawMessage
	// Entry is that of MessageTransaction and MessageUpdated, and where the entry is
	// known of MessageRemoved.
	Entry *sharedata.Entry
	// Replayed says that the entry was committed before the state that the client has
	// been sent.
	Replayed bool
	// Replaying is how many replayed messages follow a MessageState, Skipped how many
	// entries it takes the place of.
	Replaying, Skipped uint64
	// Resumed says of a MessageState that the client goes on from Subscription.Since:
	// all that it has missed is replayed next.
	Resumed bool

	// CorrelationID is that of the Subscription, in its first MessageState and in a
	// MessageError about that or in place of it; of a MessageUnsubscribed; and of the
	// Proposal of a MessageResult. Accepted, Code, Text and
	// Details are its verdict, or why there is none: then the Cursor is zero.
	// MessageError has a Code (see package codes) and a Text.
	CorrelationID string
	Accepted      bool
	Duplicate     bool
	Code          string
	Text          string
	Details       json.RawMessage
	RetryAfter    time.Duration
}

var errEncodePanicked = errors.New("Protocol.Encode panicked")

// encoded returns a frame with what the session's protocol has made of it, or makes of
// one that is not shared with other sessions.
func (s *session) encoded(f *frame) (*frame, error) {
	switch f.kind {
	case kindReply, kindError, kindRefusal:
		f = s.protocol.reply(f)
	}
	if f.kind == kindBroken {
		s.server.log.Error("Protocol.Encode panicked", "panic", string(f.text))
		return nil, errEncodePanicked
	}
	return f, nil
}

// encode sets what a frame says.
func (p *Protocol) encode(f *frame, m *Message) {
	defer func() {
		if value := recover(); value != nil {
			f.kind, f.text = kindBroken, fmt.Appendf(nil, "%v\n%s", value, debug.Stack())
		}
	}()
	f.text = p.Encode(nil, m)
}

// entryFrame is the frame of an entry; nil for one that subscribers are not notified of.
func (p *Protocol) entryFrame(entry *sharedata.Entry, state json.RawMessage, replayed bool) *frame {
	m := Message{ShareDataID: entry.ShareDataID, Cursor: entry.Cursor, State: state, Entry: entry, Replayed: replayed}
	f := newFrame(kindTransaction, entry.ShareDataID, entry.Cursor)
	switch entry.Type {
	case sharedata.EntryTransaction:
		m.Type, f.kind = MessageTransaction, kindTransaction
	case sharedata.EntryUpdated:
		m.Type, f.kind = MessageUpdated, kindLifecycle
	case sharedata.EntryRemoved:
		m.Type, f.kind = MessageRemoved, kindRemoval
	default:
		return nil
	}
	p.encode(f, &m)
	return f
}

// reply returns the frame for a frame of package wire that is not shared with others:
// a result or an error.
func (p *Protocol) reply(f *frame) *frame {
	var m Message
	next := &frame{kind: f.kind, about: f.about}
	decoded, err := wire.DecodeServer(f.text, wire.Limits{})
	if err != nil {
		return next // not one of this package's
	}
	switch r := decoded.(type) {
	case *wire.ProposalResult:
		m = Message{
			Type: MessageResult, CorrelationID: r.CorrelationID, Accepted: r.Accepted, Duplicate: r.Duplicate,
			Code: r.Code, Text: r.Error, Details: r.Details, RetryAfter: time.Duration(r.RetryAfterMs) * time.Millisecond,
		}
		m.Cursor, _ = replay.ParseCursor(r.TransactionID) // zero where there is no verdict
	case *wire.Error:
		m = Message{
			Type: MessageError, ShareDataID: r.ShareDataID, CorrelationID: r.CorrelationID, Code: r.Code, Text: r.Message,
			RetryAfter: time.Duration(r.RetryAfterMs) * time.Millisecond,
		}
	default:
		return next
	}
	p.encode(next, &m)
	return next
}

// applicationFrames replaces the frames of package wire among those of a session of an
// application's protocol, and leaves out those that say nothing. It changes the slice.
func (s *session) applicationFrames(frames []*frame) ([]*frame, error) {
	kept := frames[:0]
	for _, f := range frames {
		f, err := s.encoded(f)
		if err != nil {
			return frames, err
		}
		if len(f.text) > 0 {
			kept = append(kept, f)
		}
	}
	clear(frames[len(kept):])
	return kept, nil
}

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

// reply is the message that replies to a command, or says that something went wrong that is
// no command's fault: then the id is null.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Result result          `json:"result,omitempty"`
	Error  *problem        `json:"error,omitempty"`
}

// result is that of a command.
type result map[string]any

// problem is an error that a client is sent. Documented codes are those of HTTP.
type problem struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Channel string `json:"channel,omitempty"` // where no command says it
}

var errNotAuthenticated = &problem{Code: http.StatusUnauthorized, Message: "not authenticated"}

func badCommand(why string) *problem {
	return &problem{Code: http.StatusBadRequest, Message: "bad command: " + why}
}

// push is a message that replies to no command: a publication, or a gap, after which the
// data is that of the latest publication.
type push struct {
	Method string     `json:"method"`
	Params pushParams `json:"params"`
}

type pushParams struct {
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	Cursor  string          `json:"cursor"`
	Skipped uint64          `json:"skipped,omitempty"` // publications that this one takes the place of
}

// toJSON returns a message as JSON. It does not escape <, > and &, which would make data up
// to six times as large.
func toJSON(message any) []byte {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	encoder.Encode(message) // fails only for what is not JSON, which nobody can publish
	return bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))
}

// turbine is the protocol: what clients are sent for what happens to their subscriptions.
var turbine = &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte {
	if message := messageFor(m); message != nil {
		dst = append(dst, toJSON(message)...)
	}
	return dst
}}

// messageFor returns a message as the document has it; nil for none.
func messageFor(m *realtime.Message) any {
	id := json.RawMessage(cmp.Or(m.CorrelationID, "null"))
	params := pushParams{Channel: channelOf(m.ShareDataID), Data: m.State, Cursor: m.Cursor.String(), Skipped: m.Skipped}
	switch {
	case m.Type == realtime.MessageTransaction:
		params.Data = m.Entry.Data
		return push{"publication", params}
	case m.Type == realtime.MessageState && m.CorrelationID != "":
		return reply{ID: id, Result: result{"subscribed": true, "recovered": m.Resumed, "cursor": params.Cursor}}
	case m.Type == realtime.MessageState && m.Skipped > 0:
		return push{"publication", params}
	case m.Type == realtime.MessageState:
		return push{"gap", params}
	case m.Type == realtime.MessageUnsubscribed:
		return reply{ID: id, Result: result{"unsubscribed": true}}
	case m.Type == realtime.MessageRemoved:
		return reply{ID: id, Error: &problem{http.StatusInternalServerError, "the channel was removed; subscribe again", params.Channel}}
	case m.Type == realtime.MessageError && m.Code != codes.ReplayCursorNotFound: // which the state before it has said
		p := &problem{Code: cmp.Or(documentedCodes[m.Code], http.StatusInternalServerError), Message: m.Text}
		if m.CorrelationID == "" {
			p.Channel = params.Channel
		}
		return reply{ID: id, Error: p}
	}
	return nil
}

// documentedCodes has the documented codes for those of errors of package realtime. All
// others are internal errors.
var documentedCodes = map[string]int{
	codes.UnauthorizedSubscribe: http.StatusForbidden,
	codes.TooManySubscriptions:  http.StatusTooManyRequests,
	codes.RateLimited:           http.StatusTooManyRequests,
	codes.InvalidMessage:        http.StatusBadRequest,
}

package main

import (
	"encoding/json"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

// Documented codes of errors.
const (
	badCommand       = 400
	notAuthenticated = 401
	forbidden        = 403
	tooMany          = 429
	internalError    = 500
)

// response is a message that replies to a command, or says that something went wrong which
// was no command's fault: then the id is null.
type response struct {
	ID     json.RawMessage `json:"id"`
	Result any             `json:"result,omitempty"`
	Error  *problem        `json:"error,omitempty"`
}

type problem struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Channel string `json:"channel,omitempty"` // where no command says it
}

// subscribed is the result of subscribe. Recovered says that all that followed the given
// cursor comes next; Cursor is the position of the channel.
type subscribed struct {
	Subscribed bool   `json:"subscribed"`
	Recovered  bool   `json:"recovered"`
	Cursor     string `json:"cursor"`
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

// text returns a message as JSON.
func text(message any) []byte {
	encoded, _ := json.Marshal(message) // fails only for what is not JSON, which nobody can publish
	return encoded
}

func failed(id string, code int, message string) []byte {
	return text(response{ID: json.RawMessage(id), Error: &problem{Code: code, Message: message}})
}

// turbine is the protocol: what clients are sent for what happens to their subscriptions.
var turbine = &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte {
	pushed := push{"publication", pushParams{channelOf(m.ShareDataID), m.State, m.Cursor.String(), m.Skipped}}
	switch {
	case m.Type == realtime.MessageTransaction:
		pushed.Params.Data = m.Entry.Data
		return append(dst, text(pushed)...)
	case m.Type == realtime.MessageState && m.CorrelationID != "":
		return append(dst, text(response{json.RawMessage(m.CorrelationID), subscribed{true, m.Resumed, m.Cursor.String()}, nil})...)
	case m.Type == realtime.MessageState:
		if m.Skipped == 0 {
			pushed.Method = "gap"
		}
		return append(dst, text(pushed)...)
	case m.Type == realtime.MessageUnsubscribed:
		return append(dst, text(response{ID: json.RawMessage(m.CorrelationID), Result: map[string]bool{"unsubscribed": true}})...)
	case m.Type == realtime.MessageRemoved:
		removed := problem{internalError, "the channel was removed; subscribe again", channelOf(m.ShareDataID)}
		return append(dst, text(response{Error: &removed})...)
	case m.Type == realtime.MessageError && m.Code != codes.ReplayCursorNotFound: // which the state before it has said
		return append(dst, refusal(m)...)
	}
	return dst
}}

// refusal returns what a client is sent about an error of its session.
func refusal(m *realtime.Message) []byte {
	p := &problem{Code: internalError, Message: m.Text}
	switch m.Code {
	case codes.UnauthorizedSubscribe:
		p.Code, p.Message = forbidden, "forbidden"
	case codes.TooManySubscriptions, codes.RateLimited:
		p.Code = tooMany
	case codes.InvalidMessage:
		p.Code = badCommand
	}
	if m.CorrelationID == "" {
		p.Channel = channelOf(m.ShareDataID)
		return text(response{Error: p})
	}
	return text(response{ID: json.RawMessage(m.CorrelationID), Error: p})
}

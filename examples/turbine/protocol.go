package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

// Documented codes of errors.
const (
	codeBadCommand   = 400
	codeNoCaller     = 401
	codeForbidden    = 403
	codeTooMany      = 429
	codeInternal     = 500
	messageForbidden = "forbidden"
)

// command is what a client sends. ID is its number as the client wrote it: "null" where
// the message has none.
type command struct {
	ID      string
	Method  string
	Token   string
	Channel string
	Recover string // the cursor from which to recover; empty for none
}

// decode decodes a command. If it is none, why says so to the client.
func decode(message []byte) (c command, why string) {
	c.ID = "null"
	var outer struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if !utf8.Valid(message) {
		return c, "bad UTF-8"
	}
	if err := json.Unmarshal(message, &outer); err != nil {
		return c, "bad command: send {\"id\",\"method\",\"params\"} as JSON"
	}
	if !isNumber(outer.ID) {
		return c, "bad command: id must be a number"
	}
	c.ID, c.Method = string(outer.ID), outer.Method
	var params struct {
		Token, Channel string
		Recover        *string
	}
	if outer.Params != nil && json.Unmarshal(outer.Params, &params) != nil {
		return c, "bad command: params must be an object, its members strings"
	}
	c.Token, c.Channel = params.Token, params.Channel
	if params.Recover != nil {
		c.Recover = *params.Recover
	}
	switch c.Method {
	case "connect":
		if c.Token == "" {
			return c, "bad command: connect needs a token"
		}
	case "subscribe", "unsubscribe":
		if !isChannel(c.Channel) {
			return c, "bad command: a channel has 1 to " + strconv.Itoa(maxChannel) + " bytes and no control characters"
		}
	case "ping":
	default:
		return c, "bad command: unknown method"
	}
	return c, ""
}

// isNumber reports whether a JSON value is a number, of a length that is worth repeating.
func isNumber(value json.RawMessage) bool {
	const longest = 40
	return len(value) > 0 && len(value) <= longest && (value[0] == '-' || value[0] >= '0' && value[0] <= '9')
}

// turbine is the protocol: what clients are sent for what happens to their subscriptions.
var turbine = &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte {
	switch m.Type {
	case realtime.MessageTransaction:
		return appendPush(dst, "publication", m, m.Entry.Data)
	case realtime.MessageState:
		switch {
		case m.CorrelationID != "":
			return appendResult(dst, m.CorrelationID, `{"subscribed":true,"recovered":`+strconv.FormatBool(m.Resumed)+`,"cursor":"`+m.Cursor.String()+`"}`)
		case m.Skipped > 0: // the state takes the place of publications
			return appendPush(dst, "publication", m, m.State)
		}
		return appendPush(dst, "gap", m, m.State)
	case realtime.MessageUnsubscribed:
		return appendResult(dst, m.CorrelationID, `{"unsubscribed":true}`)
	case realtime.MessageRemoved:
		return appendError(dst, "null", codeInternal, "the channel was removed; subscribe again", channelOf(m.ShareDataID))
	case realtime.MessageError:
		return appendRefusal(dst, m)
	}
	return dst
}}

// appendPush appends a message that replies to no command.
func appendPush(dst []byte, method string, m *realtime.Message, data json.RawMessage) []byte {
	dst = append(dst, `{"method":"`...)
	dst = append(dst, method...)
	dst = append(dst, `","params":{"channel":`...)
	dst = appendString(dst, channelOf(m.ShareDataID))
	dst = append(dst, `,"data":`...)
	dst = append(dst, bytes.TrimSpace(data)...)
	dst = append(dst, `,"cursor":"`...)
	dst = append(dst, m.Cursor.String()...)
	dst = append(dst, '"')
	if m.Skipped > 0 {
		dst = strconv.AppendUint(append(dst, `,"skipped":`...), m.Skipped, 10)
	}
	return append(dst, "}}"...)
}

// appendRefusal appends what a client is told about an error of its session.
func appendRefusal(dst []byte, m *realtime.Message) []byte {
	if m.Code == codes.ReplayCursorNotFound {
		return dst // the state that precedes it has said so
	}
	code, text := codeInternal, m.Text
	switch m.Code {
	case codes.UnauthorizedSubscribe:
		code, text = codeForbidden, messageForbidden
	case codes.TooManySubscriptions, codes.RateLimited:
		code = codeTooMany
	case codes.InvalidMessage:
		code = codeBadCommand
	}
	if m.CorrelationID != "" {
		return appendError(dst, m.CorrelationID, code, text, "")
	}
	return appendError(dst, "null", code, text, channelOf(m.ShareDataID))
}

// appendResult appends the reply to a command that was carried out.
func appendResult(dst []byte, id, result string) []byte {
	return append(append(append(append(append(dst, `{"id":`...), id...), `,"result":`...), result...), '}')
}

// appendError appends the reply to a command that was not. The channel is said where it is
// not clear from the command; otherwise it is empty.
func appendError(dst []byte, id string, code int, message, channel string) []byte {
	dst = append(append(append(dst, `{"id":`...), id...), `,"error":{"code":`...)
	dst = append(strconv.AppendInt(dst, int64(code), 10), `,"message":`...)
	dst = appendString(dst, message)
	if channel != "" {
		dst = appendString(append(dst, `,"channel":`...), channel)
	}
	return append(dst, "}}"...)
}

// appendString appends a text as JSON.
func appendString(dst []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // a string can be marshalled
	return append(dst, quoted...)
}

package main

import (
	"encoding/json"
	"unicode/utf8"
)

// command is what a client sends. ID is its number as the client wrote it: "null" where
// the message has none.
type command struct {
	ID, Method     string
	Token, Channel string
	Recover        string // the cursor from which to recover; empty for none
}

// decode decodes a command. If it is none, why says so to the client.
func decode(message []byte) (c command, why string) {
	c.ID = "null"
	var outer struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	var params struct{ Token, Channel, Recover string }
	switch {
	case !utf8.Valid(message):
		return c, "bad UTF-8"
	case json.Unmarshal(message, &outer) != nil:
		return c, `bad command: send {"id","method","params"} as JSON`
	case !isNumber(outer.ID):
		return c, "bad command: id must be a number"
	}
	c.ID, c.Method = string(outer.ID), outer.Method
	if outer.Params != nil && json.Unmarshal(outer.Params, &params) != nil {
		return c, "bad command: params must be an object, its members strings"
	}
	c.Token, c.Channel, c.Recover = params.Token, params.Channel, params.Recover
	switch c.Method {
	case "ping":
	case "connect":
		if c.Token == "" {
			return c, "bad command: connect needs a token"
		}
	case "subscribe", "unsubscribe":
		if !isChannel(c.Channel) {
			return c, "bad command: " + channelRule
		}
	default:
		return c, "bad command: the methods are connect, subscribe, unsubscribe and ping"
	}
	return c, ""
}

// isNumber reports whether a JSON value is a number, of a length that is worth repeating.
func isNumber(value json.RawMessage) bool {
	const longest = 40
	return len(value) > 0 && len(value) <= longest && (value[0] == '-' || value[0] >= '0' && value[0] <= '9')
}

package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/safe-go/safe/realtime"
)

// command is what a client sends. ID is a number as the client wrote it, or nil, which is
// null in the reply, where there is none. Recover is a cursor, or empty.
type command struct {
	ID     json.RawMessage
	Method string
	Params struct{ Token, Channel, Recover string }
}

var methods = []string{"connect", "subscribe", "unsubscribe", "ping"}

// decode returns the command in a message.
func decode(message []byte) (c command, p *problem) {
	err := json.Unmarshal(message, &c) // decodes the rest where a value has the wrong type
	switch {
	case !utf8.Valid(message):
		return command{}, badCommand("bad UTF-8")
	case err != nil && c.ID == nil:
		return c, badCommand(`send {"id","method","params"} as JSON`)
	case len(c.ID) == 0 || len(c.ID) > 40 || !strings.ContainsRune("-0123456789", rune(c.ID[0])): // 40 are worth repeating
		return command{}, badCommand("id must be a number")
	case err != nil:
		return c, badCommand("method must be a string, params an object, and its members strings")
	case !slices.Contains(methods, c.Method):
		return c, badCommand("the methods are connect, subscribe, unsubscribe and ping")
	case c.Method == "connect" && c.Params.Token == "":
		return c, badCommand("connect needs a token")
	case strings.HasSuffix(c.Method, "subscribe") && !isChannel(c.Params.Channel):
		return c, badCommand(channelRule)
	}
	return c, nil
}

// receive carries out a command.
func (n *node) receive(session *realtime.Session, m realtime.ClientMessage) {
	c, p := decode(m.Data)
	var r result
	switch {
	case m.RetryAfter > 0:
		p = &problem{Code: http.StatusTooManyRequests, Message: "too many commands; send it again in " + m.RetryAfter.String()}
	case p == nil:
		r, p = n.execute(session, c)
	}
	if r != nil || p != nil {
		session.Send(toJSON(reply{c.ID, r, p}))
	}
}

// execute carries out a command and returns its result, or why there is none. It returns nil
// for both where the result comes later, as a message of the session (messageFor).
func (n *node) execute(session *realtime.Session, c command) (result, *problem) {
	switch {
	case c.Method == "ping":
		return result{"pong": true}, nil
	case c.Method == "connect":
		if err := n.connect(session, c.Params.Token); err != nil {
			n.logger.Debug("connect refused", "error", err)
			return nil, errNotAuthenticated
		}
		return result{"connected": true}, nil
	case session.Caller() == nil:
		return nil, errNotAuthenticated
	case c.Method == "subscribe":
		session.Subscribe(realtime.Subscription{
			ShareDataID: idOf(c.Params.Channel), Since: c.Params.Recover, Conflate: n.config.slow == "conflate", CorrelationID: string(c.ID),
		})
	case c.Method == "unsubscribe":
		session.UnsubscribeWith(idOf(c.Params.Channel), string(c.ID))
	}
	return nil, nil
}

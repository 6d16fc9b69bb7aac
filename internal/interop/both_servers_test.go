package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// raw is a WebSocket connection without a client.
type raw struct {
	t    *testing.T
	conn *websocket.Conn
}

func dialRaw(t *testing.T, address string) *raw {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+address+"/realtime", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return &raw{t, conn}
}

func (r *raw) send(text string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), testTimeout)
	defer cancel()
	if err := r.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		r.t.Fatal(err)
	}
}

// next returns a description of the next frame, or of the end of the connection.
func (r *raw) next() string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), testTimeout)
	defer cancel()
	_, text, err := r.conn.Read(ctx)
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return fmt.Sprintf("close %d", closed.Code)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	var frame struct {
		V                 int
		Type              string
		ShareDataID       string
		CurrentState      json.RawMessage
		LastTransactionID *string
		TransactionID     string
		Accepted          bool
		Replayed          bool
		CorrelationID     string
		Code              string
		Error             string
	}
	if err := json.Unmarshal(text, &frame); err != nil || frame.V != 1 {
		r.t.Fatalf("frame %s: %v", text, err)
	}
	switch frame.Type {
	case "state":
		return fmt.Sprintf("state of %s: %s, none before: %t", frame.ShareDataID, frame.CurrentState, frame.LastTransactionID == nil)
	case "transaction":
		return fmt.Sprintf("transaction of %s %s%s", frame.ShareDataID, verdict(frame.Accepted), stateOf(frame.CurrentState, frame.Replayed))
	case "proposal-result":
		switch {
		case frame.TransactionID != "":
			return fmt.Sprintf("result %s %s", frame.CorrelationID, verdict(frame.Accepted))
		case frame.Error != "" && !frame.Accepted:
			return fmt.Sprintf("result %s refused", frame.CorrelationID)
		}
	case "pong":
		return "pong " + frame.CorrelationID
	case "error":
		return "error " + frame.Code
	}
	return string(text)
}

// add is a valid proposal to the counter.
const add = `{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","proposedData":{"by":1},"correlationId":"a"}`

var invalid = []string{"error invalid-message", "close 4004"}

func TestBothServers_SameReplies(t *testing.T) {
	state := `state of counter: {"value":0}, none before: true`
	tests := []struct {
		name string
		send []string
		want []string
	}{
		{"ping", []string{`{"v":1,"type":"ping","correlationId":"a"}`}, []string{"pong a"}},
		{"unknown member", []string{`{"v":1,"type":"ping","correlationId":"a","more":{}}`}, []string{"pong a"}},
		{"white space", []string{" {\n\t\"v\" : 1.0, \"type\":\"ping\",\"correlationId\":\"a\"}\r\n"}, []string{"pong a"}},
		{"escapes", []string{`{"\u0076":1,"type":"p\u0069ng","correlationId":"\ud83e\udd8a"}`}, []string{"pong 🦊"}},

		{"subscribe", []string{`{"v":1,"type":"subscribe","shareDataId":"counter"}`}, []string{state}},
		{"subscribe twice", []string{`{"v":1,"type":"subscribe","shareDataId":"counter"}`, `{"v":1,"type":"subscribe","shareDataId":"counter"}`}, []string{state, state}},
		{"empty since", []string{`{"v":1,"type":"subscribe","shareDataId":"counter","since":""}`}, []string{state}},
		{"unknown since", []string{`{"v":1,"type":"subscribe","shareDataId":"counter","since":"x"}`}, []string{state, "error replay-cursor-not-found"}},
		{"what only this project knows", []string{
			`{"v":1,"type":"subscribe","shareDataId":"counter","replayLifecycle":true}`,
			`{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","proposedData":{"by":1},"correlationId":"a","idempotencyKey":"k"}`,
		}, []string{state, `transaction of counter accepted: {"value":1}`, "result a accepted"}},
		{"unknown ShareData", []string{`{"v":1,"type":"subscribe","shareDataId":"nowhere"}`}, []string{"error unknown-share-data", "close 4003"}},
		{"unsubscribe", []string{`{"v":1,"type":"subscribe","shareDataId":"counter"}`, `{"v":1,"type":"unsubscribe","shareDataId":"counter"}`, add}, []string{state, "result a accepted"}},
		{"unsubscribe without subscribe", []string{`{"v":1,"type":"unsubscribe","shareDataId":"counter"}`}, nil},
		{"unsubscribe from unknown ShareData", []string{`{"v":1,"type":"unsubscribe","shareDataId":"nowhere"}`}, nil},

		{"propose", []string{add}, []string{"result a accepted"}},
		{"propose, subscribed", []string{`{"v":1,"type":"subscribe","shareDataId":"counter"}`, add},
			[]string{state, `transaction of counter accepted: {"value":1}`, "result a accepted"}},
		{"one rejects", []string{`{"v":1,"type":"subscribe","shareDataId":"counter"}`, `{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","proposedData":{"by":-1},"correlationId":"b"}`},
			[]string{state, `transaction of counter rejected: {"value":0}`, "result b rejected"}},
		{"with a proof", []string{`{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","proposedData":{"by":1},"correlationId":"a","proof":{"purpose":"add"}}`}, []string{"result a accepted"}},
		{"data null", []string{`{"v":1,"type":"propose","shareDataId":"counter","functionId":"set","proposedData":null,"correlationId":"a"}`}, []string{"result a accepted"}},
		{"propose to unknown ShareData", []string{`{"v":1,"type":"propose","shareDataId":"nowhere","functionId":"add","proposedData":{},"correlationId":"a"}`}, []string{"result a refused"}},
		{"propose to unknown function", []string{`{"v":1,"type":"propose","shareDataId":"counter","functionId":"divide","proposedData":{},"correlationId":"a"}`}, []string{"result a refused"}},
		{"function fails", []string{`{"v":1,"type":"propose","shareDataId":"counter","functionId":"fail","proposedData":{},"correlationId":"a"}`}, []string{"result a refused"}},

		{"empty message", []string{``}, invalid},
		{"not JSON", []string{`ping`}, invalid},
		{"not an object", []string{`[1]`}, invalid},
		{"null", []string{`null`}, invalid},
		{"two values", []string{`{"v":1,"type":"ping","correlationId":"a"} {}`}, invalid},
		{"no version", []string{`{"type":"ping","correlationId":"a"}`}, invalid},
		{"another version", []string{`{"v":2,"type":"ping","correlationId":"a"}`}, invalid},
		{"version as text", []string{`{"v":"1","type":"ping","correlationId":"a"}`}, invalid},
		{"no type", []string{`{"v":1,"correlationId":"a"}`}, invalid},
		{"unknown type", []string{`{"v":1,"type":"hello"}`}, invalid},
		{"a server's type", []string{`{"v":1,"type":"pong","correlationId":"a"}`}, invalid},
		{"ping without correlationId", []string{`{"v":1,"type":"ping"}`}, invalid},
		{"ping with an empty correlationId", []string{`{"v":1,"type":"ping","correlationId":""}`}, invalid},
		{"ping with a number for a correlationId", []string{`{"v":1,"type":"ping","correlationId":1}`}, invalid},
		{"subscribe to nothing", []string{`{"v":1,"type":"subscribe"}`}, invalid},
		{"subscribe to an empty id", []string{`{"v":1,"type":"subscribe","shareDataId":""}`}, invalid},
		{"since a number", []string{`{"v":1,"type":"subscribe","shareDataId":"counter","since":1}`}, invalid},
		{"since null", []string{`{"v":1,"type":"subscribe","shareDataId":"counter","since":null}`}, invalid},
		{"unsubscribe from an empty id", []string{`{"v":1,"type":"unsubscribe","shareDataId":""}`}, invalid},
		{"propose without data", []string{`{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","correlationId":"a"}`}, invalid},
		{"propose without function", []string{`{"v":1,"type":"propose","shareDataId":"counter","proposedData":1,"correlationId":"a"}`}, invalid},
		{"propose with an empty function", []string{`{"v":1,"type":"propose","shareDataId":"counter","functionId":"","proposedData":1,"correlationId":"a"}`}, invalid},
		{"propose without correlationId", []string{`{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","proposedData":1}`}, invalid},
	}
	theirs := servePublished(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			theirs.create("counter", counter{})
			t.Run("published", func(t *testing.T) { exchange(t, theirs.address, test.send, test.want) })
			t.Run("ours", func(t *testing.T) { exchange(t, startOurs(t, nil).address, test.send, test.want) })
		})
	}
}

// exchange sends messages and wants exactly these replies.
func exchange(t *testing.T, address string, send, want []string) {
	t.Helper()
	r := dialRaw(t, address)
	for _, text := range send {
		r.send(text)
	}
	ended := false
	for _, w := range want {
		if got := r.next(); got != w {
			t.Fatalf("got %s, want %s", got, w)
		}
		ended = strings.HasPrefix(w, "close")
	}
	if ended {
		return
	}
	r.send(`{"v":1,"type":"ping","correlationId":"last"}`)
	if got := r.next(); got != "pong last" {
		t.Errorf("unexpected: %s", got)
	}
}

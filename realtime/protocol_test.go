package realtime_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

// TestFrames has every frame of the protocol, to the byte.
func TestFrames(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	epoch := strconv.FormatUint(ts.cursor("c").Epoch, 10)
	p := ts.dial()
	wantText := func(text string) {
		t.Helper()
		if got, want := p.nextText(), strings.ReplaceAll(text, "EPOCH", epoch); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}

	p.send(`{"v":1,"type":"ping","correlationId":"p1"}`)
	wantText(`{"v":1,"type":"pong","correlationId":"p1"}`)

	p.send(`{"v":1,"type":"subscribe","shareDataId":"c"}`)
	wantText(`{"v":1,"type":"state","shareDataId":"c","currentState":{"value":0},"lastTransactionId":null,"cursor":"EPOCH-1","revision":1}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":2},"correlationId":"c1","idempotencyKey":"k"}`)
	wantText(`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"EPOCH-2","accepted":true,"currentState":{"value":2},"revision":2,"functionId":"add"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c1","accepted":true,"transactionId":"EPOCH-2"}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":2},"correlationId":"c2","idempotencyKey":"k"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c2","accepted":true,"transactionId":"EPOCH-2","duplicate":true}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":-9},"correlationId":"c3"}`)
	wantText(`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"EPOCH-3","accepted":false,"currentState":{"value":2},"revision":3,"functionId":"add"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c3","accepted":false,"transactionId":"EPOCH-3","error":"the counter cannot go below zero","code":"rejected"}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"none","proposedData":null,"correlationId":"c4"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c4","accepted":false,"error":"ShareData \"c\" has no function \"none\"","code":"unknown-function"}`)

	if _, err := ts.manager.Update(t.Context(), "c", counter{Value: 7}); err != nil {
		t.Fatal(err)
	}
	wantText(`{"v":1,"type":"lifecycle","shareDataId":"c","event":"updated","currentState":{"value":7},"cursor":"EPOCH-4","revision":4}`)

	p.send(`{"v":1,"type":"subscribe","shareDataId":"c","since":"%s-1"}`, epoch)
	wantText(`{"v":1,"type":"state","shareDataId":"c","currentState":{"value":7},"lastTransactionId":"EPOCH-3","cursor":"EPOCH-4","revision":4}`)
	wantText(`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"EPOCH-2","accepted":true,"replayed":true,"revision":2,"functionId":"add"}`)
	wantText(`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"EPOCH-3","accepted":false,"replayed":true,"revision":3,"functionId":"add"}`)

	p.send(`{"v":1,"type":"subscribe","shareDataId":"c","since":"%s-1","replayLifecycle":true}`, epoch)
	wantText(`{"v":1,"type":"state","shareDataId":"c","currentState":{"value":7},"lastTransactionId":"EPOCH-3","cursor":"EPOCH-4","revision":4,"replaying":3}`)
	wantText(`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"EPOCH-2","accepted":true,"replayed":true,"revision":2,"functionId":"add"}`)
	wantText(`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"EPOCH-3","accepted":false,"replayed":true,"revision":3,"functionId":"add"}`)
	wantText(`{"v":1,"type":"lifecycle","shareDataId":"c","event":"updated","replayed":true,"cursor":"EPOCH-4","revision":4}`)

	p.send(`{"v":1,"type":"unsubscribe","shareDataId":"c"}`)
	p.propose("c", "add", `{"by":1}`, "c5")
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c5","accepted":true,"transactionId":"EPOCH-5"}`)

	p.join("c", "")
	if err := ts.manager.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	wantText(`{"v":1,"type":"lifecycle","shareDataId":"c","event":"removed","cursor":"EPOCH-6","revision":6}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":null,"correlationId":"c6"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c6","accepted":false,"error":"there is no ShareData \"c\"","code":"unknown-share-data"}`)

	p.send(`{"v":1,"type":"subscribe","shareDataId":"c"}`)
	wantText(`{"v":1,"type":"error","code":"unknown-share-data","message":"there is no ShareData \"c\"","shareDataId":"c"}`)
	p.wantClose(codes.CloseUnknownShareData)
}

func TestInvalidMessage(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxMessageBytes: 4096})
	for _, test := range []struct {
		name, message, text, correlation string
	}{
		{name: "no JSON", message: `hello`, text: "JSON"},
		{name: "empty", message: ``, text: "JSON"},
		{name: "not an object", message: `[]`, text: "object"},
		{name: "other version", message: `{"v":2,"type":"ping","correlationId":"a"}`, text: "/v must be 1", correlation: "a"},
		{name: "no version", message: `{"type":"ping","correlationId":"a"}`, text: "/v is missing", correlation: "a"},
		{name: "unknown type", message: `{"v":1,"type":"dance"}`, text: `"dance"`},
		{name: "frame of a server", message: `{"v":1,"type":"pong","correlationId":"a"}`, text: `"pong"`, correlation: "a"},
		{name: "missing field", message: `{"v":1,"type":"subscribe"}`, text: "/shareDataId is missing"},
		{name: "mistyped field", message: `{"v":1,"type":"subscribe","shareDataId":7}`, text: "/shareDataId must be a string"},
		{name: "empty id", message: `{"v":1,"type":"subscribe","shareDataId":""}`, text: "/shareDataId must not be empty"},
		{name: "correlated", message: `{"v":1,"type":"propose","shareDataId":"c","correlationId":"mine","proposedData":1}`, text: "/functionId is missing", correlation: "mine"},
		{name: "name twice", message: `{"v":1,"v":1,"type":"ping","correlationId":"a"}`, text: "/v is there twice"},
		{name: "trailing", message: `{"v":1,"type":"ping","correlationId":"a"} x`, text: "followed by more bytes", correlation: "a"},
		{name: "not UTF-8", message: "{\"v\":1,\"type\":\"ping\",\"correlationId\":\"\xff\"}", text: ""},
		{name: "too deep", message: `{"v":1,"type":"ping","correlationId":"a","x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, text: "deep"},
		{name: "too large", message: `{"v":1,"type":"ping","correlationId":"a","x":` + quoted(5000) + `}`, text: "larger"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := ts.dial()
			p.T = t
			p.send("%s", test.message)
			e := p.wantError(codes.InvalidMessage, "")
			if !strings.Contains(e.Message, test.text) || e.Message == "" {
				t.Errorf("message %q does not say %q", e.Message, test.text)
			}
			if e.CorrelationID != test.correlation {
				t.Errorf("correlationId is %q, want %q", e.CorrelationID, test.correlation)
			}
			p.wantClose(codes.CloseInvalidMessage)
		})
	}
	t.Run("binary", func(t *testing.T) {
		p := ts.dial()
		p.T = t
		p.conn.Write(t.Context(), websocket.MessageBinary, []byte(`{"v":1,"type":"ping","correlationId":"a"}`))
		p.wantError(codes.InvalidMessage, "")
		p.wantClose(codes.CloseInvalidMessage)
	})
}

// The published JavaScript client sends members that its own schemas allow.
func TestUnknownMembers(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	p := ts.dial()
	p.send(`{"v":1,"type":"subscribe","shareDataId":"c","since":"","locale":{"a":[1,null]}}`)
	if state := want[*wire.State](p); state.Replaying != 0 {
		t.Errorf("replaying %d entries to a subscriber without a cursor", state.Replaying)
	}
	p.send(`{"extra":1,"correlationId":"c1","proposedData":{"by":1},"functionId":"add","shareDataId":"c","proof":{"purpose":"add"},"type":"propose","v":1}`)
	p.wantTransactions(2, 2)
	want[*wire.ProposalResult](p)
	p.wantPong("p")
}

func TestStateCursor(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	p := ts.dial()
	state := p.join("c", "")
	got, err := replay.ParseCursor(state.Cursor)
	if err != nil || got != ts.cursor("c") {
		t.Fatalf("cursor %q, want %v", state.Cursor, ts.cursor("c"))
	}
}

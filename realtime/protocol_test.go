package realtime_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// TestEveryFrameToTheByte drives a connection through every frame of the
// protocol and compares the texts.
func TestEveryFrameToTheByte(t *testing.T) {
	w := overSockets(t, nil)
	w.create("c")
	epoch := strconv.FormatUint(w.cursor("c").Epoch, 10)
	p := w.dial()
	wantText := func(text string) {
		t.Helper()
		if got, want := p.nextText(), strings.ReplaceAll(text, "EPOCH", epoch); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}

	p.send(`{"v":1,"type":"ping","correlationId":"p1"}`)
	wantText(`{"v":1,"type":"pong","correlationId":"p1"}`)

	p.send(`{"v":1,"type":"subscribe","shareDataId":"c"}`)
	wantText(`{"v":1,"type":"state","shareDataId":"c","currentState":{"value":0},"lastTransactionId":null,"cursor":"EPOCH-1","revision":1,"replaying":0}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":2},"correlationId":"c1","idempotencyKey":"k"}`)
	wantText(`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"EPOCH-2","accepted":true,"currentState":{"value":2},"revision":2,"functionId":"add"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c1","accepted":true,"transactionId":"EPOCH-2"}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":2},"correlationId":"c2","idempotencyKey":"k"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c2","accepted":true,"transactionId":"EPOCH-2","duplicate":true}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":-9},"correlationId":"c3"}`)
	wantText(`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"EPOCH-3","accepted":false,"currentState":{"value":2},"revision":3,"functionId":"add"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c3","accepted":false,"transactionId":"EPOCH-3","error":"the counter cannot go below zero"}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"none","proposedData":null,"correlationId":"c4"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c4","accepted":false,"error":"ShareData \"c\" has no function \"none\""}`)

	if _, err := w.manager.Update(t.Context(), "c", counter{Value: 7}); err != nil {
		t.Fatal(err)
	}
	wantText(`{"v":1,"type":"lifecycle","shareDataId":"c","event":"updated","currentState":{"value":7},"cursor":"EPOCH-4","revision":4}`)

	p.send(`{"v":1,"type":"subscribe","shareDataId":"c","since":"%s-1"}`, epoch)
	wantText(`{"v":1,"type":"state","shareDataId":"c","currentState":{"value":7},"lastTransactionId":"EPOCH-3","cursor":"EPOCH-4","revision":4,"replaying":2}`)
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
	if err := w.manager.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	wantText(`{"v":1,"type":"lifecycle","shareDataId":"c","event":"removed","cursor":"EPOCH-6","revision":6}`)

	p.send(`{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":null,"correlationId":"c6"}`)
	wantText(`{"v":1,"type":"proposal-result","correlationId":"c6","accepted":false,"error":"there is no ShareData \"c\""}`)

	p.send(`{"v":1,"type":"subscribe","shareDataId":"c"}`)
	wantText(`{"v":1,"type":"error","code":"unknown-share-data","message":"there is no ShareData \"c\"","shareDataId":"c"}`)
	p.wantClose(codes.CloseUnknownShareData)
}

func TestInvalidMessageIsExplainedThenClosed(t *testing.T) {
	w := overSockets(t, &realtime.Options{MaxMessageBytes: 4096})
	for _, test := range []struct {
		name, message, says, correlation string
	}{
		{name: "no JSON", message: `hello`, says: "JSON"},
		{name: "empty", message: ``, says: "JSON"},
		{name: "not an object", message: `[]`, says: "object"},
		{name: "other version", message: `{"v":2,"type":"ping","correlationId":"a"}`, says: "/v must be 1", correlation: "a"},
		{name: "no version", message: `{"type":"ping","correlationId":"a"}`, says: "/v is missing", correlation: "a"},
		{name: "unknown type", message: `{"v":1,"type":"dance"}`, says: `"dance"`},
		{name: "frame of a server", message: `{"v":1,"type":"pong","correlationId":"a"}`, says: `"pong"`, correlation: "a"},
		{name: "missing field", message: `{"v":1,"type":"subscribe"}`, says: "/shareDataId is missing"},
		{name: "mistyped field", message: `{"v":1,"type":"subscribe","shareDataId":7}`, says: "/shareDataId must be a string"},
		{name: "empty id", message: `{"v":1,"type":"subscribe","shareDataId":""}`, says: "/shareDataId must not be empty"},
		{name: "correlated", message: `{"v":1,"type":"propose","shareDataId":"c","correlationId":"mine","proposedData":1}`, says: "/functionId is missing", correlation: "mine"},
		{name: "name twice", message: `{"v":1,"v":1,"type":"ping","correlationId":"a"}`, says: "/v is there twice"},
		{name: "trailing", message: `{"v":1,"type":"ping","correlationId":"a"} x`, says: "followed by more bytes", correlation: "a"},
		{name: "not UTF-8", message: "{\"v\":1,\"type\":\"ping\",\"correlationId\":\"\xff\"}", says: ""},
		{name: "too deep", message: `{"v":1,"type":"ping","correlationId":"a","x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, says: "deep"},
		{name: "too large", message: `{"v":1,"type":"ping","correlationId":"a","x":` + quoted(5000) + `}`, says: "larger"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := w.dial()
			p.T = t
			p.send("%s", test.message)
			e := p.wantError(codes.InvalidMessage, "")
			if !strings.Contains(e.Message, test.says) || e.Message == "" {
				t.Errorf("message %q does not say %q", e.Message, test.says)
			}
			if e.CorrelationID != test.correlation {
				t.Errorf("correlationId is %q, want %q", e.CorrelationID, test.correlation)
			}
			p.wantClose(codes.CloseInvalidMessage)
		})
	}
	t.Run("binary", func(t *testing.T) {
		p := w.dial()
		p.T = t
		p.conn.Write(t.Context(), websocket.MessageBinary, []byte(`{"v":1,"type":"ping","correlationId":"a"}`))
		p.wantError(codes.InvalidMessage, "")
		p.wantClose(codes.CloseInvalidMessage)
	})
}

func TestMessageOfExactlyTheLimitIsTaken(t *testing.T) {
	const most = 4096
	w := overSockets(t, &realtime.Options{MaxMessageBytes: most})
	p := w.dial()
	frame := `{"v":1,"type":"ping","correlationId":"a","x":`
	p.send("%s", frame+quoted(most-len(frame)-1)+"}")
	want[*wire.Pong](p)
	p.send("%s", frame+quoted(most-len(frame))+"}")
	p.wantError(codes.InvalidMessage, "")
	p.wantClose(codes.CloseInvalidMessage)
}

// A client of the published JavaScript package sends what its schemas allow and
// an envelope that may grow.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	w := overSockets(t, nil)
	w.create("c")
	p := w.dial()
	p.send(`{"v":1,"type":"subscribe","shareDataId":"c","since":"","locale":{"a":[1,null]}}`)
	if state := want[*wire.State](p); state.Replaying != 0 {
		t.Errorf("replaying %d entries to a subscriber without a cursor", state.Replaying)
	}
	p.send(`{"extra":1,"correlationId":"c1","proposedData":{"by":1},"functionId":"add","shareDataId":"c","proof":{"purpose":"add"},"type":"propose","v":1}`)
	p.wantTransactions(2, 2)
	want[*wire.ProposalResult](p)
	p.wantPong("p")
}

func TestOfferedSubprotocolsAndExtensionsAreNotChosen(t *testing.T) {
	w := overSockets(t, nil)
	_, response, err := w.tryDial(http.Header{
		"Sec-Websocket-Protocol":   {"a, b"},
		"Sec-Websocket-Extensions": {"permessage-deflate"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
		if got := response.Header.Get(name); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestResultsFollowTheirTransactions(t *testing.T) {
	w := overSockets(t, nil)
	w.create("c")
	p := w.dial()
	p.join("c", "")
	const n = 300
	go func() {
		for i := range n {
			p.propose("c", "add", `{"by":1}`, strconv.Itoa(i))
		}
	}()
	seen := make(map[string]bool)
	results, refused := 0, 0
	for results+refused < n {
		switch m := must(p).(type) {
		case *wire.Transaction:
			seen[m.TransactionID] = true
		case *wire.ProposalResult:
			switch {
			case m.TransactionID == "":
				refused++ // more in flight than allowed
			case !seen[m.TransactionID]:
				t.Fatalf("the result of %s came before its transaction", m.TransactionID)
			default:
				results++
			}
		}
	}
	if results == 0 {
		t.Error("every proposal was refused")
	}
}

func must(p *peer) wire.ServerMessage {
	p.Helper()
	message, err := p.next()
	if err != nil {
		p.Fatal(err)
	}
	return message
}

func TestProposalsOfOneConnectionAreJudgedInTheOrderSent(t *testing.T) {
	w := overSockets(t, &realtime.Options{MaxProposalsInFlight: -1})
	appendFunction := sharedata.NewFunction("append", func(_ context.Context, list []int, n int) ([]int, error) {
		return append(list, n), nil
	})
	if _, err := w.manager.Create(t.Context(), "list", []int{}, appendFunction); err != nil {
		t.Fatal(err)
	}
	p := w.dial()
	const n = 200
	for i := range n {
		p.propose("list", "append", strconv.Itoa(i), strconv.Itoa(i))
	}
	for range n {
		if r := want[*wire.ProposalResult](p); !r.Accepted {
			t.Fatalf("%s", r.AppendTo(nil))
		}
	}
	at, err := w.manager.Get(t.Context(), "list")
	if err != nil {
		t.Fatal(err)
	}
	list, _ := sharedata.Decode[[]int](at.State)
	for i := range n {
		if list[i] != i {
			t.Fatalf("proposal %d was judged in place of %d", list[i], i)
		}
	}
}

func TestCursorTextIsTheStoresCursor(t *testing.T) {
	w := overSockets(t, nil)
	w.create("c")
	p := w.dial()
	state := p.join("c", "")
	got, err := replay.ParseCursor(state.Cursor)
	if err != nil || got != w.cursor("c") {
		t.Fatalf("cursor %q, want %v", state.Cursor, w.cursor("c"))
	}
}

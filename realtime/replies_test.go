package realtime_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// replies is a protocol that says of each message what it replies to.
var replies = &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte {
	switch m.Type {
	case realtime.MessageState:
		return fmt.Appendf(dst, "state %s %t", m.CorrelationID, m.Resumed)
	case realtime.MessageTransaction:
		return fmt.Appendf(dst, "transaction %d", m.Cursor.Revision)
	case realtime.MessageError:
		return fmt.Appendf(dst, "error %s %s", m.CorrelationID, m.Code)
	case realtime.MessageUnsubscribed:
		return fmt.Appendf(dst, "unsubscribed %s", m.CorrelationID)
	}
	return dst
}}

// replyPeer is a realtime.Peer that keeps what it is sent.
type replyPeer struct {
	*testing.T
	session  *realtime.Session
	messages chan string
	closed   chan int
}

// openReplies opens a session that nobody has authenticated.
func openReplies(ts *testServer, caller *sharedata.Caller) *replyPeer {
	ts.Helper()
	p := &replyPeer{T: ts.T, messages: make(chan string, 1000), closed: make(chan int, 2)}
	session, err := ts.server.Open(&http.Request{}, p, &realtime.SessionOptions{Protocol: replies, Caller: caller})
	if err != nil {
		ts.Fatal(err)
	}
	p.session = session
	return p
}

func (p *replyPeer) Write(messages [][]byte) error {
	for _, m := range messages {
		p.messages <- string(m)
	}
	return nil
}

func (p *replyPeer) Ping() error { return nil }

func (p *replyPeer) Close(code int, _ string) {
	select {
	case p.closed <- code:
	default:
	}
}

func (p *replyPeer) want(messages ...string) {
	p.Helper()
	for _, want := range messages {
		select {
		case got := <-p.messages:
			if got != want {
				p.Fatalf("got %q, want %q", got, want)
			}
		case <-time.After(testTimeout):
			p.Fatalf("nothing came, want %q", want)
		}
	}
}

// Every request has one reply with its correlation id, in order with what it leads to.
func TestOpen_Replies(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxSubscriptions: 2, AuthorizeSubscribe: func(_ context.Context, _ *sharedata.Caller, id string) error {
		if id == "secret" {
			return errors.New("secret")
		}
		return nil
	}})
	for _, id := range []string{"a", "b", "c"} {
		ts.create(id)
	}
	p := openReplies(ts, nil)
	p.session.Subscribe(realtime.Subscription{ShareDataID: "a", CorrelationID: "1"})
	p.want("state 1 false")
	ts.add("a", 2)
	p.want("transaction 2", "transaction 3")
	since := ts.cursor("a")
	p.session.UnsubscribeWith("a", "2")
	p.want("unsubscribed 2")
	ts.add("a", 2)
	p.session.Subscribe(realtime.Subscription{ShareDataID: "a", CorrelationID: "3", Since: since.String()})
	p.want("state 3 true", "transaction 4", "transaction 5")
	p.session.Subscribe(realtime.Subscription{ShareDataID: "a", CorrelationID: "4", Since: "7-7"})
	p.want("state 4 false", "error 4 "+codes.ReplayCursorNotFound)
	p.session.Subscribe(realtime.Subscription{ShareDataID: "secret", CorrelationID: "5"})
	p.want("error 5 " + codes.UnauthorizedSubscribe)
	p.session.Subscribe(realtime.Subscription{ShareDataID: "missing", CorrelationID: "6"})
	p.want("error 6 " + codes.UnknownShareData)
	p.session.Subscribe(realtime.Subscription{ShareDataID: "b", CorrelationID: "7"})
	p.want("state 7 false")
	p.session.Subscribe(realtime.Subscription{ShareDataID: "c", CorrelationID: "8"})
	p.want("error 8 " + codes.TooManySubscriptions)
	p.session.Unsubscribe("b")
	p.session.Send([]byte("own"))
	p.want("own")
	p.session.End()
	<-p.session.Done()
}

package realtime_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

// stalledPeer is a replyPeer whose writes wait.
type stalledPeer struct {
	*replyPeer
	writing chan struct{} // gets a value when a write begins
	resume  chan struct{} // closed when writes go on
}

func (p *stalledPeer) Write(messages [][]byte) error {
	select {
	case p.writing <- struct{}{}:
	default:
	}
	<-p.resume
	return p.replyPeer.Write(messages)
}

// openStalled opens a session that is subscribed to "c" and is being written a first message.
func openStalled(ts *testServer, conflate bool) *stalledPeer {
	ts.Helper()
	p := &stalledPeer{
		replyPeer: &replyPeer{T: ts.T, messages: make(chan string, 1000), closed: make(chan int, 2)},
		writing:   make(chan struct{}, 1), resume: make(chan struct{}),
	}
	session, err := ts.server.Open(&http.Request{}, p, &realtime.SessionOptions{Protocol: replies})
	if err != nil {
		ts.Fatal(err)
	}
	p.session = session
	session.Subscribe(realtime.Subscription{ShareDataID: "c", Conflate: conflate})
	<-p.writing
	return p
}

// A connection for which more messages wait than may is closed; others are not.
func TestMaxBufferedMessages(t *testing.T) {
	overflows := make(chan realtime.OverflowEvent, 1)
	ts := serve(t, &realtime.Options{MaxBufferedMessages: 10, Observer: realtime.Observer{
		OnOverflow: func(e realtime.OverflowEvent) { overflows <- e },
	}})
	ts.create("c")
	fast := ts.dial()
	fast.join("c", "")
	p := openStalled(ts, false)
	if n := ts.server.Subscribers("c"); n != 2 {
		t.Errorf("%d subscribers", n)
	}
	ts.add("c", 10)
	fast.wantTransactions(2, 11)
	select {
	case <-overflows:
		t.Error("the limit is not 10")
	default:
	}
	ts.add("c", 1)
	fast.wantTransactions(12, 12)
	<-overflows
	close(p.resume)
	if code := <-p.closed; code != codes.CloseFellBehind {
		t.Errorf("closed with %d", code)
	}
	p.session.End()
	<-p.session.Done()
	if n := ts.server.Subscribers("c") + ts.server.Subscribers("other"); n != 1 {
		t.Errorf("%d subscribers", n)
	}
}

// A replay does not exceed the number of messages, however small they are.
func TestMaxBufferedMessages_Replay(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxBufferedMessages: 1})
	since := ts.createMissed(90)
	p := openReplies(ts, nil)
	p.session.Subscribe(realtime.Subscription{ShareDataID: "c", Since: since})
	p.want("state  true")
	for range 90 {
		<-p.messages
	}
	ts.add("c", 1)
	p.want("transaction 92")
	p.session.End()
	<-p.session.Done()
}

// A subscription that conflates is sent a state in place of what exceeds the number, and the
// observer is notified of how much that was.
func TestMaxBufferedMessages_Conflate(t *testing.T) {
	skips := make(chan realtime.SkipEvent, 100)
	ts := serve(t, &realtime.Options{MaxBufferedMessages: 10, Observer: realtime.Observer{
		OnSkip: func(e realtime.SkipEvent) { skips <- e },
	}})
	ts.create("c")
	p := openStalled(ts, true)
	ts.add("c", 30)
	if n := ts.server.Subscribers("c"); n != 0 {
		t.Errorf("%d subscribers, while one is left out", n)
	}
	close(p.resume)
	p.want("state  false")
	for revision := range 10 {
		p.want(fmt.Sprintf("transaction %d", revision+2))
	}
	p.want("state  false")
	select {
	case e := <-skips:
		if e.ShareDataID != "c" || e.Entries != 20 || e.ID == 0 {
			t.Errorf("got %+v", e)
		}
	case <-time.After(testTimeout):
		t.Error("the observer was not notified")
	}
	ts.add("c", 1)
	p.want("transaction 32")
	p.session.End()
	<-p.session.Done()
}

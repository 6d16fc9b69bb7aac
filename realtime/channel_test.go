package realtime

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// channelFixture is a channel and subscriptions without sockets: what a peer would be
// sent stays in its outbox.
type channelFixture struct {
	*testing.T
	server  *Server
	channel *channel
	head    replay.Cursor
}

func newChannelFixture(t *testing.T) *channelFixture {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manager.Create(t.Context(), "c", 0); err != nil {
		t.Fatal(err)
	}
	server, err := NewServer(manager, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		manager.Close()
	})
	c, err := server.hub.acquire(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	return &channelFixture{T: t, server: server, channel: c, head: c.position()}
}

func (b *channelFixture) subscription(since string) *subscription {
	s := &session{server: b.server, ctx: lazyContext{parent: context.Background()}}
	s.out, _ = newTestOutbox(unlimited)
	if _, err := b.server.hub.acquire(b.Context(), "c"); err != nil {
		b.Fatal(err)
	}
	sub := &subscription{session: s, request: wire.Subscribe{ShareDataID: "c", Since: since, ReplayLifecycle: true}, channel: b.channel}
	s.subscriptions.set("c", sub)
	return sub
}

// commit makes the channel observe n transactions.
func (b *channelFixture) commit(n int) {
	var events []sharedata.Event
	for range n {
		b.head = b.head.Next()
		events = append(events, sharedata.Event{
			Entry: sharedata.Entry{ShareDataID: "c", Cursor: b.head, Type: sharedata.EntryTransaction, Accepted: true},
			State: json.RawMessage(fmt.Sprint(b.head.Revision)),
		})
	}
	b.channel.Observe(events)
}

// sentTo takes what a peer was sent since the last time, in short.
func sentTo(sub *subscription) []string {
	o := sub.session.out
	o.mu.Lock()
	defer o.mu.Unlock()
	var short []string
	for _, f := range o.queue.all() {
		var m struct {
			Type, Code, Event, CorrelationID string
			Revision, Replaying              int
			Replayed                         bool
		}
		if err := json.Unmarshal(f.text, &m); err != nil {
			panic(err)
		}
		s := m.Type
		switch m.Type {
		case "state":
			s = fmt.Sprintf("state %d+%d", m.Revision, m.Replaying)
		case "transaction":
			s = fmt.Sprint(m.Revision)
			if m.Replayed {
				s = "replayed " + s
			}
		case "lifecycle":
			s = m.Event
		case "error":
			s = m.Code
		}
		short = append(short, s)
	}
	o.queue, o.queued = fifo[*frame]{}, 0
	return short
}

func (b *channelFixture) want(sub *subscription, want ...string) {
	b.Helper()
	if got := sentTo(sub); !slices.Equal(got, want) {
		b.Errorf("got  %s\nwant %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

func TestChannelEncodesOnce(t *testing.T) {
	b := newChannelFixture(t)
	one, two := b.subscription(""), b.subscription("")
	one.begin(page{}, "")
	two.begin(page{}, "")
	b.commit(2)
	for i := range 3 { // the state and two transactions
		if one.session.out.queue.all()[i] != two.session.out.queue.all()[i] {
			t.Errorf("frame %d is there twice", i)
		}
	}
	b.want(one, "state 1+0", "2", "3")
}

func TestChannelReset(t *testing.T) {
	b := newChannelFixture(t)
	sub := b.subscription("")
	sub.begin(page{}, "")
	last := replay.Cursor{Epoch: b.head.Epoch, Revision: 48}
	b.head = replay.Cursor{Epoch: b.head.Epoch, Revision: 50}
	b.channel.Observe([]sharedata.Event{{
		Entry: sharedata.Entry{ShareDataID: "c", Cursor: b.head}, State: json.RawMessage(`50`), Reset: true, LastTransaction: last,
	}})
	o := sub.session.out
	if f := string(o.queue.all()[1].text); !strings.Contains(f, `"lastTransactionId":"`+last.String()+`"`) {
		t.Errorf("the last transaction is not %v: %s", last, f)
	}
	b.commit(1)
	b.want(sub, "state 1+0", "state 50+0", "replay-cursor-not-found", "51")
}

func TestChannelReset_DuringReplay(t *testing.T) {
	b := newChannelFixture(t)
	b.commit(3)
	sub := b.subscription(replay.Cursor{Epoch: b.head.Epoch, Revision: 1}.String())
	first := page{last: replay.Cursor{Epoch: b.head.Epoch, Revision: 2}, frames: []*frame{textFrame(`{"type":"transaction","revision":2,"replayed":true}`)}}
	if p, last, _ := sub.begin(first, ""); p != beginReplaying || last != b.head {
		t.Fatalf("got %v %v", last, p)
	}
	sub.sendReplayed(first.frames)
	b.commit(1)
	sub.sendResult(textFrame(`{"type":"proposal-result"}`))
	b.head = replay.Cursor{Epoch: b.head.Epoch + 1, Revision: 1}
	b.channel.Observe([]sharedata.Event{{
		Entry: sharedata.Entry{ShareDataID: "c", Cursor: b.head}, State: json.RawMessage(`50`), Reset: true,
	}})
	b.commit(1)
	if sent, room := sub.sendReplayed(first.frames); sent || room != nil || sub.goLive() {
		t.Fatalf("the replay goes on")
	}
	sub.restart()
	if p, _, _ := sub.begin(page{}, replayInterrupted); p != beginDone {
		t.Fatalf("got %v", p)
	}
	b.commit(1)
	b.want(sub, "state 4+3", "replayed 2", "state 2+0", "replay-cursor-not-found", "proposal-result", "3")
	if sub.session.out.held != 0 {
		t.Errorf("%d bytes are still held", sub.session.out.held)
	}
}

func TestChannelReset_Removed(t *testing.T) {
	b := newChannelFixture(t)
	sub := b.subscription("")
	sub.begin(page{}, "")
	sentTo(sub)
	b.channel.Observe([]sharedata.Event{{
		Entry: sharedata.Entry{ShareDataID: "c", Cursor: b.head.Next(), Type: sharedata.EntryRemoved}, Reset: true,
	}})
	o := sub.session.out
	if got, want := string(o.queue.all()[0].text), `{"v":1,"type":"lifecycle","shareDataId":"c","event":"removed"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Events may come before the snapshot that they follow is known.
func TestChannelAttach(t *testing.T) {
	b := newChannelFixture(t)
	early := newChannel(b.server.hub, "c")
	at := b.channel.head
	b.channel = early
	b.commit(2)
	early.attach(at)
	if early.head.Cursor != b.head || string(early.head.State) != "3" || early.head.LastTransaction != b.head {
		t.Errorf("head %+v, want %v", early.head, b.head)
	}
}

// The result of an early commit waits until that has its place: a subscriber who has the
// result must not be sent an older state.
func TestChannelAttach_Results(t *testing.T) {
	b := newChannelFixture(t)
	proposer := b.subscription("").session
	for _, open := range []bool{true, false} {
		early, at := newChannel(b.server.hub, "c"), b.head
		if early.holdResult(proposer, textFrame(`{}`)) {
			t.Error("a result is held without a commit")
		}
		attached := b.channel
		b.channel = early
		b.commit(1)
		b.channel = attached
		before := proposer.out.queued
		if !early.holdResult(proposer, textFrame(`{}`)) || proposer.out.queued != before {
			t.Error("the result is not held")
		}
		if open {
			early.attach(sharedata.Snapshot{ID: "c", Cursor: at})
		} else {
			early.fail()
		}
		if proposer.out.queued != before+2 || proposer.out.held != 0 || early.holdResult(proposer, textFrame(`{}`)) {
			t.Errorf("opened %v: %d bytes are queued, %d held", open, proposer.out.queued-before, proposer.out.held)
		}
	}
}

func TestSubscriptionEnd(t *testing.T) {
	b := newChannelFixture(t)
	b.commit(3)
	since := replay.Cursor{Epoch: b.head.Epoch, Revision: 1}
	sub := b.subscription(since.String())
	first := page{last: since.Next(), frames: []*frame{textFrame(`{"type":"transaction","revision":2,"replayed":true}`)}}
	sub.begin(first, "")
	b.commit(1)
	sub.sendResult(textFrame(`{"type":"proposal-result"}`))
	sub.end()
	b.commit(1)
	b.want(sub, "state 4+3", "proposal-result")
	if sub.sendResult(textFrame(`{}`)) {
		t.Error("a subscription that has ended accepts results")
	}
}

func TestChannelRelease(t *testing.T) {
	b := newChannelFixture(t)
	sub := b.subscription("")
	sub.begin(page{}, "")
	sub.end()
	sub.end()
	if len(b.server.hub.channels) != 1 {
		t.Error("the channel ended while it was held")
	}
	b.server.hub.release(b.channel)
	if len(b.server.hub.channels) != 0 || len(b.channel.subscribers) != 0 {
		t.Error("the channel lives on without holders")
	}
}

// A server that closes interrupts replays. The peers are not sent that what they missed
// cannot be replayed: they would not ask for it again.
func TestCatchUp_ServerCloses(t *testing.T) {
	b := newChannelFixture(t)
	since := b.head.String()
	b.commit(3)
	for name, catchUp := range map[string]func(*session, *subscription){
		"before": func(s *session, sub *subscription) { s.startCatchUp(sub) },
		"during": func(s *session, sub *subscription) { (&catchUp{session: s, sub: sub}).beginAgain() },
	} {
		sub := b.subscription(since)
		sub.session.ctx.cancel()
		catchUp(sub.session, sub)
		if got := sentTo(sub); len(got) > 0 {
			t.Errorf("%s: the peer is sent %v", name, got)
		}
	}
}

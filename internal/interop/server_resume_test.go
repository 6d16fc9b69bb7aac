package interop_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/safe-go/safe/client"
)

func TestOurClient_Resumes(t *testing.T) {
	s, _, sub := subscribePublished(t, nil)
	s.add(2)
	sub.want(published(1, 2)...)

	s.proxy.cut()
	s.add(3)
	s.propose("counter", "add", addition{-9})
	s.proxy.setTarget(s.address)
	sub.want(`resumed: {"value":5}, last #6`)
	sub.want(publishedReplay(3, 5)...)
	sub.want("#6 rejected, replayed")
	s.propose("counter", "add", addition{1})
	sub.want(`#7 accepted: {"value":6}`)

	// Nothing is missed, and nothing replayed.
	s.proxy.cut()
	s.proxy.setTarget(s.address)
	sub.want(`resumed: {"value":6}, last #7`)
	s.propose("counter", "add", addition{1})
	sub.want(`#8 accepted: {"value":7}`)
}

func TestOurClient_ResumesAll(t *testing.T) {
	s := startPublished(t, nil)
	s.create("doc", 0)
	c := dial(t, s.proxy.url(), nil)
	counts := c.subscribe("counter", `state: {"value":0}, last none`)
	docs := c.subscribe("doc", `state: 0, last none`)
	s.add(1)
	counts.want(published(1, 1)...)
	s.propose("doc", "set", 1)
	docs.want("#1 accepted: 1")
	s.proxy.cut()
	s.add(1)
	s.propose("doc", "set", 2)
	s.proxy.setTarget(s.address)
	counts.want(`resumed: {"value":2}, last #2`, "#2 accepted, replayed")
	docs.want("resumed: 2, last #2", "#2 accepted, replayed")
}

func TestOurClient_SubscribeFrom(t *testing.T) {
	s := startPublished(t, nil)
	first := dial(t, s.proxy.url(), nil)
	sub := first.subscribe("counter", `state: {"value":0}, last none`)
	s.add(2)
	sub.want(published(1, 2)...)
	cursor := sub.Cursor()
	first.Close()
	s.add(1)
	second := dial(t, s.proxy.url(), nil)
	again := &ourSubscription{second.SubscribeFrom("counter", cursor), t}
	again.want(`resumed: {"value":3}, last #3`)
	again.want(publishedReplay(3, 3)...)
}

func TestOurClient_GapTooOld(t *testing.T) {
	s, _, sub := subscribePublished(t, parameters{"replayBufferSize": 3})
	s.add(1)
	sub.want(published(1, 1)...)
	s.proxy.cut()
	s.add(5)
	s.proxy.setTarget(s.address)
	sub.want("gap after #1", `state: {"value":6}, last #6`)
	s.add(1)
	sub.want(published(7, 7)...)

	s.proxy.cut()
	s.add(2)
	s.proxy.setTarget(s.address)
	sub.want(`resumed: {"value":9}, last #9`)
	sub.want(publishedReplay(8, 9)...)
}

func TestOurClient_GapEmptyHistory(t *testing.T) {
	s, _, sub := subscribePublished(t, nil)
	s.proxy.cut()
	s.add(2)
	s.proxy.setTarget(s.address)
	// The published server has no cursor for the place before the first
	// transaction.
	sub.want("gap after #", `state: {"value":2}, last #2`)
	s.add(1)
	sub.want(published(3, 3)...)
}

// An update leaves no trace in the published server's cursors.
func TestOurClient_MissedUpdate(t *testing.T) {
	s, _, sub := subscribePublished(t, nil)
	s.add(1)
	sub.want(published(1, 1)...)
	s.proxy.cut()
	s.update("counter", counter{10})
	s.proxy.setTarget(s.address)
	sub.want(`resumed: {"value":10}, last #1`)
	s.add(1)
	sub.want(`#2 accepted: {"value":11}`)
}

func TestOurClient_GapAfterRestart(t *testing.T) {
	s, restarted, empty := startPublished(t, nil), servePublished(t, nil), servePublished(t, nil)
	c := dial(t, s.proxy.url(), nil)
	sub := c.subscribe("counter", `state: {"value":0}, last none`)
	s.add(2)
	sub.want(published(1, 2)...)

	s.proxy.cut()
	s.add(1)
	// Histories survive; what the server keeps for replays does not.
	restarted.do("create", parameters{"shareDataId": "counter", "state": counter{3}, "history": s.history("counter")})
	s.proxy.setTarget(restarted.address)
	sub.want("gap after #2", `state: {"value":3}, last #3`)
	restarted.add(1)
	sub.want(published(4, 4)...)

	s.proxy.cut()
	empty.create("counter", counter{})
	s.proxy.setTarget(empty.address)
	sub.want("gap after #4", `state: {"value":0}, last none`)
	empty.add(1)
	sub.want(published(1, 1)...)
}

func TestOurClient_LateReplay(t *testing.T) {
	s, c, sub := subscribePublished(t, parameters{"slowReplay": true})
	s.add(1)
	sub.want(published(1, 1)...)
	s.proxy.cut()
	s.add(2)
	s.proxy.setTarget(s.address)
	s.want("replay delayed")
	c.ping() // whatever the client asked of the server meanwhile is answered
	sub.want(`resumed: {"value":3}, last #3`)
	s.do("releaseReplay", nil)
	sub.want(publishedReplay(2, 3)...)
	s.add(1)
	sub.want(published(4, 4)...)
}

func TestOurClient_ReplayAfterLive(t *testing.T) {
	s, _, sub := subscribePublished(t, parameters{"slowReplay": true})
	s.add(1)
	sub.want(published(1, 1)...)
	s.proxy.cut()
	s.add(2)
	s.proxy.setTarget(s.address)
	s.want("replay delayed")
	sub.want(`resumed: {"value":3}, last #3`)
	s.add(1)
	sub.want(published(4, 4)...)
	s.do("releaseReplay", nil)
	sub.want("gap after #4", `state: {"value":4}, last #4`)
	s.add(1)
	sub.want(published(5, 5)...)
}

func TestOurClient_LateNotFound(t *testing.T) {
	s, c, sub := subscribePublished(t, parameters{"slowReplay": true, "replayBufferSize": 1})
	s.add(1)
	sub.want(published(1, 1)...)
	s.proxy.cut()
	s.add(2)
	s.proxy.setTarget(s.address)
	s.want("replay delayed")
	c.ping()
	sub.want(`resumed: {"value":3}, last #3`)
	s.do("releaseReplay", nil)
	sub.want("gap after #1", `state: {"value":3}, last #3`)
	s.add(1)
	sub.want(published(4, 4)...)
}

func TestOurClient_4001(t *testing.T) {
	s := startPublished(t, parameters{"maxBufferedBytes": 256 << 10})
	s.create("doc", "")
	c := dial(t, s.proxy.url(), nil)
	sub := c.subscribe("doc", `state: "", last none`)

	lost := c.whenLost()
	resume := s.proxy.stall()
	sent := 0
	large := json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`)
	for ; len(s.events) == 0; sent++ {
		if sent == 90 {
			t.Fatal("the connection did not fall behind while the replay buffer lasted")
		}
		s.propose("doc", "set", large)
	}
	s.want("overflow")
	resume()
	n, resumed := 0, false
	for n < sent {
		event, err := sub.next()
		if err != nil {
			t.Fatal(err)
		}
		switch event := event.(type) {
		case *client.Transaction:
			n++
			if event.TransactionID != fmt.Sprint(n) || event.Replayed != resumed {
				t.Fatalf("event %.100s, want transaction %d", describe(event), n)
			}
		case *client.State:
			if resumed || !event.Resumed {
				t.Fatalf("event %.100s after transaction %d", describe(event), n)
			}
			resumed = true
		default:
			t.Fatalf("event %s", describe(event))
		}
	}
	var cause *client.DisconnectError
	if status := lost(); !resumed || !errors.As(status.Err, &cause) || cause.Code != 4001 {
		t.Errorf("resumed: %t; status of the connection: %+v", resumed, status)
	}
	s.propose("doc", "set", 1)
	sub.want(fmt.Sprintf("#%d accepted: 1", sent+1))
}

// The published server knows neither patches nor conflation, and ignores that a client
// asks for them: also for one that has the state at its cursor.
func TestOurClient_PatchesIgnored(t *testing.T) {
	s := startPublished(t, nil)
	first := dial(t, s.proxy.url(), nil)
	sub := first.subscribe("counter", `state: {"value":0}, last none`)
	s.add(2)
	sub.want(published(1, 2)...)
	cursor, state := sub.Position()
	if string(state) != `{"value":2}` {
		t.Errorf("the state at %s is %s", cursor, state)
	}
	first.Close()
	s.add(2)
	c := dial(t, s.proxy.url(), nil)
	sub = &ourSubscription{c.SubscribeWith("counter", client.SubscribeOptions{Cursor: cursor, State: state, Conflate: true}), t}
	sub.want(`resumed: {"value":4}, last #4`)
	sub.want(publishedReplay(3, 4)...)
	s.add(1)
	sub.want(published(5, 5)...)
	s.propose("counter", "add", addition{-9})
	sub.want(`#6 rejected: {"value":5}`)
}

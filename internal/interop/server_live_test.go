package interop_test

import (
	"context"
	"errors"
	"testing"

	"github.com/safe-go/safe/client"
)

func TestOurClient_Live(t *testing.T) {
	s, _, sub := subscribePublished(t, nil)
	s.add(2)
	s.propose("counter", "add", addition{-9})
	sub.want(published(1, 2)...)
	sub.want(`#3 rejected: {"value":2}`)
	dial(t, s.proxy.url(), nil).subscribe("counter", `state: {"value":2}, last #3`)
}

func TestOurClient_BesidePublished(t *testing.T) {
	s := startPublished(t, nil)
	ours, theirs := dial(t, s.proxy.url(), nil), connectClient(t, s.proxy.url(), nil)
	sub := ours.subscribe("counter", `state: {"value":0}, last none`)
	theirs.subscribe("counter", `state of counter: {"value":0}, last none`)

	our, their := ours.beginPropose(ourAddOne), theirs.beginPropose(addOne)
	if got := <-our; got.err != nil || !got.result.Accepted {
		t.Errorf("our outcome: %+v", got)
	}
	if got := theirs.resultOf(their); !got.Accepted {
		t.Errorf("their result: %+v", got)
	}
	sub.want(published(1, 2)...)
	theirs.want(`#1 of counter accepted: {"value":1}`, `#2 of counter accepted: {"value":2}`)
}

func TestOurClient_UpdateAndRemoval(t *testing.T) {
	s, c, sub := subscribePublished(t, nil)
	s.update("counter", counter{10})
	s.add(1)
	s.remove("counter")
	sub.want(`updated: {"value":10}`, `#1 accepted: {"value":11}`, "removed")
	if event, err := sub.next(); event != nil || err != nil {
		t.Errorf("after the removal: %v, %v", event, err)
	}
	s.create("counter", counter{100})
	c.subscribe("counter", `state: {"value":100}, last none`)
}

func TestOurClient_CloseSubscription(t *testing.T) {
	s := startPublished(t, nil)
	c := dial(t, s.proxy.url(), nil)
	c.subscribe("counter", `state: {"value":0}, last none`).Close()
	c.ping()
	s.add(1)
	sub := c.subscribe("counter", `state: {"value":1}, last #1`)
	s.add(1)
	sub.want(published(2, 2)...)
}

func TestOurClient_Ping(t *testing.T) {
	s := startPublished(t, nil)
	dial(t, s.proxy.url(), nil).ping()
}

func TestOurClient_ServerHeartbeat(t *testing.T) {
	s := startPublished(t, parameters{"heartbeat": map[string]any{"intervalMs": heartbeat.Milliseconds()}})
	dial(t, s.proxy.url(), nil)
	s.want("heartbeat", "heartbeat", "heartbeat")
}

func TestOurClient_OwnHeartbeat(t *testing.T) {
	s := startPublished(t, nil)
	c := dial(t, s.proxy.url(), &client.Options{HeartbeatInterval: heartbeat})
	s.want("client heartbeat", "client heartbeat", "client heartbeat")
	if status := c.Status(); status.State != client.Open || status.Err != nil {
		t.Errorf("status %+v", status)
	}
}

func TestOurClient_UnknownShareData(t *testing.T) {
	s, c, sub := subscribePublished(t, nil)
	s.add(1)
	sub.want(published(1, 1)...)

	_, err := c.subscribe("nowhere").next()
	var refused *client.ServerError
	if !errors.As(err, &refused) || !errors.Is(err, client.ErrUnknownShareData) || refused.ShareDataID != "nowhere" {
		t.Errorf("error %#v", err)
	}
	// The server has closed the connection over it.
	sub.want(`resumed: {"value":1}, last #1`)
	s.add(1)
	sub.want(published(2, 2)...)
}

func TestOurClient_SubscribeRefused(t *testing.T) {
	s := startPublished(t, parameters{"deny": []string{"secret"}})
	s.create("secret", 1)
	c := dial(t, s.proxy.url(), nil)
	sub := c.subscribe("counter", `state: {"value":0}, last none`)
	_, err := c.subscribe("secret").next()
	var refused *client.ServerError
	if !errors.As(err, &refused) || !errors.Is(err, client.ErrUnauthorized) || refused.ShareDataID != "secret" {
		t.Errorf("error %#v", err)
	}
	s.add(1)
	sub.want(published(1, 1)...)
}

func TestOurClient_Token(t *testing.T) {
	const token = "a+b/c=&?"
	s := startPublished(t, parameters{"tokens": []string{token}})
	for _, test := range []struct {
		name    string
		token   string
		inQuery bool
		want    error
	}{
		{"in the header", token, false, nil},
		{"in the query", token, true, nil},
		{"wrong in the header", "wrong", false, client.ErrUnauthorized},
		{"wrong in the query", "wrong", true, client.ErrUnauthorized},
		{"none", "", false, client.ErrUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := tryDial(t, s.proxy.url(), &client.Options{
				Token:        func(context.Context) (string, error) { return test.token, nil },
				TokenInQuery: test.inQuery,
			})
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if c != nil {
				c.subscribe("counter", `state: {"value":0}, last none`)
			}
		})
	}
}

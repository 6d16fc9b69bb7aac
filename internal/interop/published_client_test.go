package interop_test

import (
	"encoding/json"
	"maps"
	"testing"
)

// publishedClient is an actor that is a published client.
type publishedClient struct {
	*actor
}

// startClient starts a published client, which is not connected. options are added to
// the usual ones. The test fails if the client has an event that the test does not
// expect, such as an error about a frame.
func startClient(t *testing.T, url string, options parameters) *publishedClient {
	t.Helper()
	all := parameters{
		"url":              url,
		"requestTimeoutMs": testTimeout.Milliseconds(),
		"backoff":          map[string]any{"minMs": 5, "maxMs": 100},
	}
	maps.Copy(all, options)
	a, _ := startActor(t, "client", all)
	c := &publishedClient{a}
	t.Cleanup(c.stop)
	return c
}

// stop ends the client, after all that was sent to it has arrived.
func (c *publishedClient) stop() {
	c.do("stop", nil)
	for len(c.events) > 0 {
		if e := c.next(); e.String() != "close 1000" && !c.t.Failed() {
			c.t.Errorf("unexpected event: %s", e)
		}
	}
}

// connectClient starts a published client and connects it.
func connectClient(t *testing.T, url string, options parameters) *publishedClient {
	t.Helper()
	c := startClient(t, url, options)
	c.do("connect", nil)
	c.want("open")
	return c
}

// subscribe subscribes, and waits for events.
func (c *publishedClient) subscribe(id string, events ...string) {
	c.t.Helper()
	c.do("subscribe", parameters{"shareDataId": id})
	c.want(events...)
}

func (c *publishedClient) unsubscribe(id string) {
	c.t.Helper()
	c.do("unsubscribe", parameters{"shareDataId": id})
}

// wantCursor checks what the client would resume from.
func (c *publishedClient) wantCursor(id, want string) {
	c.t.Helper()
	var cursor *string
	if err := json.Unmarshal(c.do("cursor", parameters{"shareDataId": id}), &cursor); err != nil {
		c.t.Fatal(err)
	}
	got := "none"
	if cursor != nil {
		got = *cursor
	}
	if got != want {
		c.t.Errorf("lastTransactionId of the subscription is %s, want %s", got, want)
	}
}

// ping makes sure that whatever the server sent before has arrived.
func (c *publishedClient) ping() {
	c.t.Helper()
	c.do("ping", nil)
}

// result is what the published client makes of a proposal-result.
type result struct {
	Accepted      bool
	TransactionID string
	Error         string
}

// proposal is what the published client is asked to propose.
type proposal struct {
	ShareDataID  string `json:"shareDataId"`
	FunctionID   string `json:"functionId"`
	ProposedData any    `json:"proposedData,omitempty"`
	Proof        any    `json:"proof,omitempty"`
}

// addOne adds 1 to the counter.
var addOne = proposal{ShareDataID: "counter", FunctionID: "add", ProposedData: addition{1}}

func (c *publishedClient) beginPropose(p proposal) <-chan answer {
	return c.begin("propose", parameters{"proposal": p})
}

func (c *publishedClient) propose(p proposal) result {
	c.t.Helper()
	return c.resultOf(c.beginPropose(p))
}

func (c *publishedClient) resultOf(waiting <-chan answer) result {
	c.t.Helper()
	value, err := c.await(waiting)
	if err != nil {
		c.t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(value, &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

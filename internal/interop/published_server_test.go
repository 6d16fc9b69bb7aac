package interop_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

// publishedServer is an actor that is a published server, behind a proxy.
type publishedServer struct {
	*actor
	address string // host:port
	proxy   *proxy
}

// startPublished starts a published server with a counter behind a proxy.
func startPublished(t *testing.T, options parameters, environment ...string) *publishedServer {
	t.Helper()
	s := servePublished(t, options, environment...)
	s.create("counter", counter{})
	s.proxy = newProxy(t, s.address)
	return s
}

// subscribePublished starts a published server, and a client of this project that is
// subscribed to its counter.
func subscribePublished(t *testing.T, options parameters, environment ...string) (*publishedServer, *ourClient, *ourSubscription) {
	t.Helper()
	s := startPublished(t, options, environment...)
	c := dial(t, s.proxy.url(), nil)
	return s, c, c.subscribe("counter", `state: {"value":0}, last none`)
}

// servePublished starts a published server without a proxy.
func servePublished(t *testing.T, options parameters, environment ...string) *publishedServer {
	t.Helper()
	a, port := startActor(t, "server", options, environment...)
	t.Cleanup(func() { a.do("stop", nil) })
	return &publishedServer{actor: a, address: fmt.Sprintf("127.0.0.1:%s", port)}
}

func (s *publishedServer) create(id string, state any) {
	s.t.Helper()
	s.do("create", parameters{"shareDataId": id, "state": state})
}

func (s *publishedServer) update(id string, state any) {
	s.t.Helper()
	s.do("update", parameters{"shareDataId": id, "state": state})
}

func (s *publishedServer) remove(id string) {
	s.t.Helper()
	s.do("remove", parameters{"shareDataId": id})
}

// propose proposes.
func (s *publishedServer) propose(id, functionID string, data any) {
	s.t.Helper()
	s.do("propose", parameters{"shareDataId": id, "functionId": functionID, "data": data})
}

// add adds 1 to the counter a number of times.
func (s *publishedServer) add(times int) {
	s.t.Helper()
	for range times {
		s.propose("counter", "add", addition{1})
	}
}

// recorded is an entry of the history that the stand-in for a manager keeps.
type recorded struct {
	TransactionID string          `json:"transactionId"`
	Accepted      bool            `json:"accepted"`
	Proof         json.RawMessage `json:"proof,omitempty"`
}

func (s *publishedServer) history(id string) []recorded {
	s.t.Helper()
	var all []recorded
	if err := json.Unmarshal(s.do("history", parameters{"shareDataId": id}), &all); err != nil {
		s.t.Fatal(err)
	}
	return all
}

package interop_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/safe-go/safe/realtime"
)

func TestPublishedClient_Live(t *testing.T) {
	s, c := subscribeOurs(t, nil)
	c.wantCursor("counter", "none")

	accepted := s.propose("counter", "add", addition{5})
	c.want(`#2 of counter accepted: {"value":5}`)
	c.wantCursor("counter", accepted)
	rejected := s.propose("counter", "add", addition{-6})
	c.want(`#3 of counter rejected: {"value":5}`)
	c.wantCursor("counter", rejected)

	late := connectClient(t, s.proxy.url(), nil)
	late.subscribe("counter", `state of counter: {"value":5}, last #3`)
	late.wantCursor("counter", rejected)
	late.stop()
	s.wantClosed(1000)
}

func TestPublishedClient_Two(t *testing.T) {
	s := startOurs(t, nil)
	first, second := connectClient(t, s.proxy.url(), nil), connectClient(t, s.proxy.url(), nil)
	first.subscribe("counter", `state of counter: {"value":0}, last none`)
	second.subscribe("counter", `state of counter: {"value":0}, last none`)

	var results []<-chan answer
	for range 20 {
		results = append(results, first.beginPropose(addOne), second.beginPropose(addOne))
	}
	for _, r := range results {
		if got := first.resultOf(r); !got.Accepted {
			t.Errorf("result %+v", got)
		}
	}
	first.want(countedTo(1, 40)...)
	second.want(countedTo(1, 40)...)
}

func TestPublishedClient_EffectBeforeResult(t *testing.T) {
	_, c := subscribeOurs(t, nil)
	for range 20 {
		got := c.propose(addOne)
		c.wantCursor("counter", got.TransactionID)
	}
	c.want(countedTo(1, 20)...)
}

func TestPublishedClient_States(t *testing.T) {
	s := startOurs(t, nil)
	s.create("doc", nil)
	c := connectClient(t, s.proxy.url(), nil)
	c.subscribe("doc", `state of doc: null, last none`)
	for _, state := range []string{
		`false`,
		`""`,
		`[]`,
		`{"":{"":[null,-1.5,1e+21]}}`,
		`"quote \" backslash \\ newline \n null \u0000"`,
		`"grüße 世界 🦊 \u2028"`,
		`{"__proto__":{"constructor":1},"v":2,"type":"ping"}`,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		`"` + strings.Repeat("x", 300_000) + `"`,
	} {
		s.update("doc", json.RawMessage(state))
		e := c.next()
		if e.Event != "lifecycle" || e.Frame.Event != "updated" || !sameJSON(t, e.Frame.CurrentState, state) {
			t.Errorf("%.60s came as %.100s", state, e)
		}
	}
}

func sameJSON(t *testing.T, got json.RawMessage, want string) bool {
	t.Helper()
	var texts [2]string
	for i, text := range []string{string(got), want} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatalf("%.60s: %v", text, err)
		}
		normal, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(normal)
	}
	return texts[0] == texts[1]
}

func TestPublishedClient_UpdateAndRemoval(t *testing.T) {
	s, c := subscribeOurs(t, nil)
	s.add(1)
	s.update("counter", counter{10})
	s.add(1)
	s.remove("counter")
	c.want(
		`#2 of counter accepted: {"value":1}`,
		`counter updated: {"value":10}`,
		`#4 of counter accepted: {"value":11}`,
		`counter removed`,
	)
	c.wantCursor("counter", "none")

	s.create("counter", counter{100})
	s.add(1)
	c.ping() // nothing follows a removal
	c.subscribe("counter", `state of counter: {"value":101}, last #2`)
}

func TestPublishedClient_Unsubscribe(t *testing.T) {
	s := startOurs(t, nil)
	s.create("doc", 0)
	c := connectClient(t, s.proxy.url(), nil)
	c.subscribe("counter", `state of counter: {"value":0}, last none`)
	c.subscribe("doc", `state of doc: 0, last none`)
	c.unsubscribe("counter")
	c.ping()
	s.add(1)
	s.propose("doc", "set", 1)
	c.want(`#2 of doc accepted: 1`)
	c.subscribe("counter", `state of counter: {"value":1}, last #2`)
	s.add(1)
	c.want(`#3 of counter accepted: {"value":2}`)
}

func TestPublishedClient_Ping(t *testing.T) {
	s := startOurs(t, nil)
	c := connectClient(t, s.proxy.url(), nil)
	c.ping()
}

func TestPublishedClient_Heartbeat(t *testing.T) {
	s := startOurs(t, &realtime.Options{Heartbeat: heartbeat})
	c := connectClient(t, s.proxy.url(), nil)
	// The server sends the third only if the first was answered.
	c.want("heartbeat", "heartbeat", "heartbeat")
	c.do("stop", nil)
	for e := c.next(); e.String() != "close 1000"; e = c.next() {
		if e.String() != "heartbeat" {
			t.Errorf("event %s", e)
		}
	}
}

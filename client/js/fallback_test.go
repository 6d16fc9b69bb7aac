package js_test

import (
	"testing"

	"github.com/safe-go/safe/internal/checker"
)

// Where WebSocket is blocked, a page falls back to server-sent events and POST.
func TestFallback_Browser(t *testing.T) {
	s := newServer(t)
	s.noWebSocket = true
	s.create("counter")
	d := newDriver(t, s.ctx, s.recorder, startBrowser)
	options := map[string]any{"backoff": map[string]any{"initialMs": 20}}
	d.send(map[string]any{"do": "open", "client": "page", "url": s.url() + "/realtime", "options": options, "follow": []string{"counter"}})
	var got answer
	d.propose(checker.Proposal{Proposer: "page", ShareData: "counter", Function: "add", Data: []byte(`{"by":1}`), Key: "key"}, func(a answer) { got = a })
	d.await("the proposal has its verdict", func() bool { return len(d.waiting) == 0 })
	if got.Result == nil || !got.Result.Accepted {
		t.Fatalf("%+v, want an accepted result", got)
	}
	head := awaitCurrent(d, s, []string{"page"}, "counter")
	s.recordHistory("counter")
	s.recorder.Final(head)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, violation := range s.recorder.Check(checker.Options{Window: window, Complete: true, Attributed: true}) {
		t.Error(violation)
	}
	if d.seen["status open sse"] != 1 || d.seen["status open websocket"] > 0 {
		t.Errorf("seen %v, want one connection, by server-sent events", d.seen)
	}
}

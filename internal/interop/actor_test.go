package interop_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// actor is a published client or server at work in a host.
type actor struct {
	t      *testing.T
	host   *host
	number int
	events chan event // what it tells of, in order; closed when the host ends
}

// manyEvents is more than any test leaves unread.
const manyEvents = 10_000

// startActor starts an actor that ends with the test, and returns what its start
// was answered with. environment, if any, is what a host of its own gets besides
// the usual.
func startActor(t *testing.T, kind string, options parameters, environment ...string) (*actor, json.RawMessage) {
	t.Helper()
	a := hostFor(t, environment).enter(t)
	if options == nil {
		options = parameters{}
	}
	return a, a.do("start", parameters{"kind": kind, "options": options})
}

func hostFor(t *testing.T, environment []string) *host {
	t.Helper()
	requireNode(t)
	if len(environment) == 0 {
		h, err := sharedHost()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h, err := startHost(environment...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// enter adds an actor that has not started yet.
func (h *host) enter(t *testing.T) *actor {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started++
	a := &actor{t: t, host: h, number: h.started, events: make(chan event, manyEvents)}
	if h.answers == nil {
		close(a.events)
	} else {
		h.actors[a.number] = a
	}
	return a
}

// hear is called by the host, in order.
func (a *actor) hear(e event) error {
	select {
	case a.events <- e:
		return nil
	default:
		return errors.New("too many events that nobody reads")
	}
}

// begin has the actor do something and returns where the answer will be.
func (a *actor) begin(name string, with parameters) <-chan answer {
	return a.host.begin(a.number, name, with)
}

// await waits for an answer.
func (a *actor) await(waiting <-chan answer) (json.RawMessage, error) {
	a.t.Helper()
	select {
	case got := <-waiting:
		return got.value, got.err
	case <-time.After(patience):
		a.t.Fatal("no answer")
		return nil, nil
	}
}

// try has the actor do something and returns what came of it.
func (a *actor) try(name string, with parameters) (json.RawMessage, error) {
	a.t.Helper()
	return a.await(a.begin(name, with))
}

// do is try for what must succeed.
func (a *actor) do(name string, with parameters) json.RawMessage {
	a.t.Helper()
	value, err := a.try(name, with)
	if err != nil {
		a.t.Fatalf("%s: %v", name, err)
	}
	return value
}

// next waits for the next event.
func (a *actor) next() event {
	a.t.Helper()
	select {
	case e, ok := <-a.events:
		if !ok {
			a.t.Fatal(errEnded)
		}
		return e
	case <-time.After(patience):
		a.t.Fatal("no event")
		return event{}
	}
}

// want waits for events that read so.
func (a *actor) want(events ...string) {
	a.t.Helper()
	for _, want := range events {
		if got := a.next().String(); got != want {
			a.t.Fatalf("event\n got %s\nwant %s", got, want)
		}
	}
}

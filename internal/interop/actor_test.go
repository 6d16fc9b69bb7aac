package interop_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// actor is a published client or server that runs in a host.
type actor struct {
	t      *testing.T
	host   *host
	number int
	events chan event // in order; closed when the host ends
}

// manyEvents is more than any test leaves unread.
const manyEvents = 10_000

// startActor starts an actor that ends with the test, and returns the reply to the
// command. With an environment, it runs in a host of its own.
func startActor(t *testing.T, kind string, options parameters, environment ...string) (*actor, json.RawMessage) {
	t.Helper()
	a := hostFor(t, environment).newActor(t)
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

// newActor adds an actor, which is not started.
func (h *host) newActor(t *testing.T) *actor {
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

// dispatch receives an event from the host.
func (a *actor) dispatch(e event) error {
	select {
	case a.events <- e:
		return nil
	default:
		return errors.New("too many unread events")
	}
}

// begin sends a command and returns a channel for the reply.
func (a *actor) begin(name string, with parameters) <-chan answer {
	return a.host.begin(a.number, name, with)
}

// await waits for a reply.
func (a *actor) await(waiting <-chan answer) (json.RawMessage, error) {
	a.t.Helper()
	select {
	case got := <-waiting:
		return got.value, got.err
	case <-time.After(testTimeout):
		a.t.Fatal("no reply")
		return nil, nil
	}
}

// try sends a command and returns the reply.
func (a *actor) try(name string, with parameters) (json.RawMessage, error) {
	a.t.Helper()
	return a.await(a.begin(name, with))
}

// do is try for a command that must succeed.
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
	case <-time.After(testTimeout):
		a.t.Fatal("no event")
		return event{}
	}
}

// want waits for events with these descriptions.
func (a *actor) want(events ...string) {
	a.t.Helper()
	for _, want := range events {
		if got := a.next().String(); got != want {
			a.t.Fatalf("event\n got %s\nwant %s", got, want)
		}
	}
}

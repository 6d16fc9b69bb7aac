package interop_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

var errRefused = errors.New("refused")

// bearer accepts requests with the token in the query, as the published client sends
// it.
func bearer(token string) func(*http.Request) (*sharedata.Caller, error) {
	return func(r *http.Request) (*sharedata.Caller, error) {
		if r.URL.Query().Get("token") != token {
			return nil, errRefused
		}
		return &sharedata.Caller{Subject: "bearer"}, nil
	}
}

func TestPublishedClient_TokenInQuery(t *testing.T) {
	const token = "a+b/c=&? ü"
	s := startOurs(t, &realtime.Options{Authenticate: bearer(token)})
	c := connectClient(t, s.proxy.url(), parameters{"token": token})
	c.subscribe("counter", `state of counter: {"value":0}, last none`)
	s.proxy.cut()
	c.want(lost...)
	s.proxy.setTarget(s.address)
	c.want("open", `state of counter: {"value":0}, last none`)
}

func TestPublishedClient_401(t *testing.T) {
	s := startOurs(t, &realtime.Options{Authenticate: bearer("right")})
	for _, options := range []parameters{
		{"backoff": map[string]any{"disabled": true}},
		{"backoff": map[string]any{"disabled": true}, "token": "wrong"},
	} {
		c := startClient(t, s.proxy.url(), options)
		if _, err := c.try("connect", nil); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("connect: %v", err)
		}
		c.want("error: Unexpected server response: 401", "close 1006")
	}
}

func TestPublishedClient_SubscribeRefused(t *testing.T) {
	s := startOurs(t, &realtime.Options{
		AuthorizeSubscribe: func(_ context.Context, _ *sharedata.Caller, id string) error {
			if id == "secret" {
				return errRefused
			}
			return nil
		},
	})
	s.create("secret", 1)
	c := connectClient(t, s.proxy.url(), nil)
	c.subscribe("secret", "error unauthorized-subscribe")
	c.subscribe("counter", `state of counter: {"value":0}, last none`)
	s.propose("secret", "set", 2)
	s.add(1)
	c.want(countedTo(1, 1)...)
}

func TestPublishedClient_4003(t *testing.T) {
	s := startOurs(t, nil)
	c := connectClient(t, s.proxy.url(), parameters{"backoff": map[string]any{"disabled": true}})
	c.subscribe("nowhere", "error unknown-share-data", "close 4003")
	s.wantClosed(4003)
}

// The published client can send a proposal without data, which both servers refuse.
func TestPublishedClient_4004(t *testing.T) {
	s := startOurs(t, nil)
	c := connectClient(t, s.proxy.url(), parameters{"backoff": map[string]any{"disabled": true}})
	waiting := c.beginPropose(proposal{ShareDataID: "counter", FunctionID: "add"})
	c.want("error invalid-message", "close 4004")
	if _, err := c.await(waiting); err == nil {
		t.Error("the proposal succeeded")
	}
	s.wantClosed(4004)
}

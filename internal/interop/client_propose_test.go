package interop_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

func TestPublishedClient_Verdicts(t *testing.T) {
	_, c := subscribeOurs(t, nil)

	withProof := addOne
	withProof.Proof = map[string]any{"type": "DataIntegrityProof", "purpose": "add", "proofValue": "z3FX"}
	for _, test := range []struct {
		name     string
		proposal proposal
		accepted bool
		reason   string
		event    string
	}{
		{"accepted", addOne, true, "", `#2 of counter accepted: {"value":1}`},
		{"with a proof", withProof, true, "", `#3 of counter accepted: {"value":2}`},
		{"rejected", proposal{"counter", "add", addition{-9}, nil}, false, "below zero", `#4 of counter rejected: {"value":2}`},
	} {
		got := c.propose(test.proposal)
		if got.Accepted != test.accepted || got.Error != test.reason || got.TransactionID == "" {
			t.Errorf("%s: result %+v", test.name, got)
		}
		e := c.next()
		if e.String() != test.event || e.Frame.TransactionID != got.TransactionID {
			t.Errorf("%s: event %s with id %s, the result has id %s", test.name, e, e.Frame.TransactionID, got.TransactionID)
		}
	}
}

func TestPublishedClient_ProposeRefused(t *testing.T) {
	options := &realtime.Options{
		AuthorizePropose: func(_ context.Context, _ *sharedata.Caller, id, functionID string) error {
			if functionID == "forbidden" {
				return errors.New("forbidden")
			}
			return nil
		},
	}
	_, c := subscribeOurs(t, options)
	for _, test := range []struct {
		name     string
		proposal proposal
		why      string
	}{
		{"unknown ShareData", proposal{"nowhere", "add", addition{1}, nil}, `there is no ShareData "nowhere"`},
		{"unknown function", proposal{"counter", "divide", addition{1}, nil}, `ShareData "counter" has no function "divide"`},
		{"not allowed", proposal{"counter", "forbidden", addition{1}, nil}, `not allowed to run "forbidden" on "counter"`},
		{"function fails", proposal{"counter", "fail", addition{1}, nil}, `function "fail" failed; nothing was changed`},
	} {
		if got, want := c.propose(test.proposal), (result{Error: test.why}); got != want {
			t.Errorf("%s: result %+v, want %+v", test.name, got, want)
		}
	}
	if got := c.propose(proposal{"counter", "add", map[string]any{"to": 1}, nil}); got.Accepted || got.TransactionID != "" || got.Error == "" {
		t.Errorf("data of the wrong form: result %+v", got)
	}
	c.ping() // none of these proposals led to a transaction
}

func TestPublishedClient_ProposingDisabled(t *testing.T) {
	s := startOurs(t, &realtime.Options{Resolver: sharedata.ResolveNone})
	c := connectClient(t, s.proxy.url(), nil)
	if got, want := c.propose(addOne), (result{Error: "propose is not enabled on this server"}); got != want {
		t.Errorf("result %+v, want %+v", got, want)
	}
}

func TestPublishedClient_Queue(t *testing.T) {
	s := startOurs(t, nil)
	c := startClient(t, s.proxy.url(), nil)
	c.subscribe("counter")
	var results []<-chan answer
	for range 10 {
		results = append(results, c.beginPropose(addOne))
	}
	c.do("connect", nil)
	c.want("open", `state of counter: {"value":0}, last none`)
	c.want(countedTo(1, 10)...)
	for i, r := range results {
		if got := c.resultOf(r); !got.Accepted || place(got.TransactionID) != fmt.Sprintf("#%d", i+2) {
			t.Errorf("result %d: %+v", i, got)
		}
	}
}

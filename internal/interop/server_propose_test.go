package interop_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/safe-go/safe/client"
)

// ourAddOne adds 1 to the counter.
var ourAddOne = client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: addition{1}}

func TestOurClientGetsVerdicts(t *testing.T) {
	s := startPublished(t, nil)
	c := dial(t, s.line.url(), nil)
	sub := c.subscribe("counter", `state: {"value":0}, last none`)
	if got, want := c.propose(ourAddOne), (client.Result{Accepted: true, TransactionID: "1"}); !reflect.DeepEqual(got, want) {
		t.Errorf("accepted: result %+v, want %+v", got, want)
	}
	rejected := client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: addition{-9}}
	if got, want := c.propose(rejected), (client.Result{TransactionID: "2", Code: "rejected"}); !reflect.DeepEqual(got, want) {
		t.Errorf("rejected: result %+v, want %+v", got, want)
	}
	sub.want(`#1 accepted: {"value":1}`, `#2 rejected: {"value":1}`)
}

func TestOurClientIsToldWhyAProposalReachedNoVerdict(t *testing.T) {
	s := startPublished(t, nil)
	c := dial(t, s.line.url(), nil)
	wantRefused(t, c, client.Proposal{ShareDataID: "nowhere", FunctionID: "add"}, client.CodeUnspecified, "nowhere not found")
	wantRefused(t, c, client.Proposal{ShareDataID: "counter", FunctionID: "divide"}, client.CodeUnspecified, "unknown functionId divide")
	wantRefused(t, c, client.Proposal{ShareDataID: "counter", FunctionID: "fail"}, client.CodeUnspecified, "out of order")
	if history := s.history("counter"); len(history) != 0 {
		t.Errorf("history %+v", history)
	}
}

func TestOurClientIsToldThatProposingIsOff(t *testing.T) {
	s := startPublished(t, parameters{"proposing": false})
	wantRefused(t, dial(t, s.line.url(), nil), ourAddOne, client.CodeUnspecified, "propose is not enabled")
}

// wantRefused proposes what the server refuses with a code and a text that has
// the words.
func wantRefused(t *testing.T, c *ourClient, p client.Proposal, code, words string) {
	t.Helper()
	got := <-c.beginPropose(p)
	var refused *client.ProposalError
	if !errors.As(got.err, &refused) || refused.Code != code || !strings.Contains(refused.Message, words) {
		t.Errorf("proposal of %q to %q: %+v; want an error with code %q and %q", p.FunctionID, p.ShareDataID, got, code, words)
	}
}

func TestOurProofReachesAServerThatDemandsOne(t *testing.T) {
	s := startPublished(t, nil, "SAFE_INTEROP_PROOF=required")
	c := dial(t, s.line.url(), nil)
	sub := c.subscribe("counter", `state: {"value":0}, last none`)
	proven := ourAddOne
	proven.Proof = map[string]string{"purpose": "add"}
	if got := c.propose(proven); !got.Accepted {
		t.Errorf("result %+v", got)
	}
	sub.want(published(1, 1)...)
	if history := s.history("counter"); len(history) != 1 || string(history[0].Proof) != `{"purpose":"add"}` {
		t.Errorf("history %+v", history)
	}

	// The server closes the connection over a proposal without a proof.
	wantRefused(t, c, ourAddOne, "invalid-message", "proof")
	sub.want(`resumed: {"value":1}, last #1`)
	if got := c.propose(proven); !got.Accepted {
		t.Errorf("result %+v", got)
	}
	sub.want(published(2, 2)...)
}

func TestOurClientSendsWhatItQueuedWhileItWasOffline(t *testing.T) {
	s := startPublished(t, nil)
	c := dial(t, s.line.url(), nil)
	sub := c.subscribe("counter", `state: {"value":0}, last none`)
	lost := c.whenLost()
	s.line.cut()
	lost()
	first, second := c.beginPropose(ourAddOne), c.beginPropose(ourAddOne)
	s.line.lead(s.address)
	for _, waiting := range []<-chan outcome{first, second} {
		if got := <-waiting; got.err != nil || !got.result.Accepted {
			t.Errorf("outcome %+v", got)
		}
	}
	sub.want(`resumed: {"value":0}, last none`)
	sub.want(published(1, 2)...)
}

// The published server knows nothing of idempotency keys, so it takes what is
// sent again for another proposal. The client's documentation says so.
func TestOurProposalInFlightGetsAVerdictAfterALostConnection(t *testing.T) {
	s := startPublished(t, nil)
	c := dial(t, s.line.url(), nil)
	sub := c.subscribe("counter", `state: {"value":0}, last none`)
	slowly := ourAddOne
	slowly.FunctionID = "addSlowly"
	waiting := c.beginPropose(slowly)
	s.want("answer held")
	sub.want(published(1, 1)...)
	s.line.cut()
	s.line.lead(s.address)
	s.want("answer held")
	sub.want(`resumed: {"value":1}, last #1`)
	sub.want(published(2, 2)...)
	s.do("releaseAnswer", nil)
	if got, want := <-waiting, (client.Result{Accepted: true, TransactionID: "2"}); got.err != nil || !reflect.DeepEqual(got.result, want) {
		t.Errorf("outcome %+v, want %+v", got, want)
	}
}

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

func TestOurClient_Verdicts(t *testing.T) {
	_, c, sub := subscribePublished(t, nil)
	if got, want := c.propose(ourAddOne), (client.Result{Accepted: true, TransactionID: "1"}); !reflect.DeepEqual(got, want) {
		t.Errorf("accepted: result %+v, want %+v", got, want)
	}
	rejected := client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: addition{-9}}
	if got, want := c.propose(rejected), (client.Result{TransactionID: "2", Code: "rejected"}); !reflect.DeepEqual(got, want) {
		t.Errorf("rejected: result %+v, want %+v", got, want)
	}
	sub.want(`#1 accepted: {"value":1}`, `#2 rejected: {"value":1}`)
}

func TestOurClient_ProposeRefused(t *testing.T) {
	s := startPublished(t, nil)
	c := dial(t, s.proxy.url(), nil)
	wantRefused(t, c, client.Proposal{ShareDataID: "nowhere", FunctionID: "add"}, client.CodeUnspecified, "nowhere not found")
	wantRefused(t, c, client.Proposal{ShareDataID: "counter", FunctionID: "divide"}, client.CodeUnspecified, "unknown functionId divide")
	wantRefused(t, c, client.Proposal{ShareDataID: "counter", FunctionID: "fail"}, client.CodeUnspecified, "out of order")
	if history := s.history("counter"); len(history) != 0 {
		t.Errorf("history %+v", history)
	}
}

func TestOurClient_ProposingDisabled(t *testing.T) {
	s := startPublished(t, parameters{"proposing": false})
	wantRefused(t, dial(t, s.proxy.url(), nil), ourAddOne, client.CodeUnspecified, "propose is not enabled")
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

func TestOurClient_Proof(t *testing.T) {
	s, c, sub := subscribePublished(t, nil, "SAFE_INTEROP_PROOF=required")
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

func TestOurClient_Queue(t *testing.T) {
	s, c, sub := subscribePublished(t, nil)
	lost := c.whenLost()
	s.proxy.cut()
	lost()
	first, second := c.beginPropose(ourAddOne), c.beginPropose(ourAddOne)
	s.proxy.setTarget(s.address)
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
func TestOurClient_ProposalSentAgain(t *testing.T) {
	s, c, sub := subscribePublished(t, nil)
	slowly := ourAddOne
	slowly.FunctionID = "addSlowly"
	waiting := c.beginPropose(slowly)
	s.want("answer delayed")
	sub.want(published(1, 1)...)
	s.proxy.cut()
	s.proxy.setTarget(s.address)
	s.want("answer delayed")
	sub.want(`resumed: {"value":1}, last #1`)
	sub.want(published(2, 2)...)
	s.do("releaseAnswer", nil)
	if got, want := <-waiting, (client.Result{Accepted: true, TransactionID: "2"}); got.err != nil || !reflect.DeepEqual(got.result, want) {
		t.Errorf("outcome %+v, want %+v", got, want)
	}
}

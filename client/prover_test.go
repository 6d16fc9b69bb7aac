package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// proveInput is a Prover whose proof is its input, which tests read off the frames.
func proveInput(_ context.Context, input ProofInput) (any, error) { return input, nil }

func provenProposal() Proposal {
	p := proposalOf("x")
	p.Prove = proveInput
	return p
}

// expectProof receives a propose with a proof for the position and the state.
func (p *peer) expectProof(position, state string) *wire.Propose {
	p.t.Helper()
	got := p.expectPropose()
	var input ProofInput
	if err := json.Unmarshal(got.Proof, &input); err != nil {
		p.t.Fatal(err, string(got.Proof))
	}
	at := ProofInput{ShareDataID: "x", FunctionID: "add", Data: json.RawMessage(`{"by":1}`), Position: position, StateHash: input.StateHash}
	if got, want := fmt.Sprint(input), fmt.Sprint(at); got != want || input.StateHash != hashes[state] {
		p.t.Fatalf("the proof is for %s, want %s and the hash of %s", got, want, state)
	}
	return got
}

// hashes are the SHA-256 of the states of these tests.
var hashes = map[string]string{
	"1": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
	"2": "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35",
}

func TestProve_FirstAttempt(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, _ := f.subscribe(nil)
		outcome := propose(t, f.client, provenProposal())
		p.send(acceptedAs(p.expectProof("e-5", "1"), "e-6"))
		if got := <-outcome; got.err != nil || !got.result.Accepted {
			t.Errorf("got %+v", got)
		}
	})
}

// The position is that of the newest frame about the present. Rejections move it, and
// not the state; replayed frames do not move it.
func TestProve_Position(t *testing.T) {
	rejection := transaction(6)
	rejection.Accepted, rejection.CurrentState = false, nil
	changed := updated(6, false)
	changed.CurrentState = json.RawMessage("2")
	for name, test := range map[string]struct {
		frames []wire.ServerMessage
		at     string
		state  string
	}{
		"transaction": {[]wire.ServerMessage{transaction(6), transaction(7)}, "e-7", "1"},
		"rejection":   {[]wire.ServerMessage{rejection}, "e-6", "1"},
		"update":      {[]wire.ServerMessage{changed}, "e-6", "2"},
		"replayed":    {[]wire.ServerMessage{replayed(4)}, "e-5", "1"},
		"new epoch":   {[]wire.ServerMessage{snapshot("f", 1, 0)}, "f-1", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				p, _ := f.subscribe(nil)
				p.send(test.frames...)
				synctest.Wait()
				propose(t, f.client, provenProposal())
				p.expectProof(test.at, test.state)
			})
		})
	}
}

func TestProve_WaitsForState(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		propose(t, c, provenProposal())
		p.quiet()
		p.send(snapshot("e", 5, 0))
		p.expectProof("e-5", "1")
	})
}

func TestProve_StaleIsRenewed(t *testing.T) {
	for _, movedBefore := range []bool{false, true} {
		testWithFake(t, func(t *testing.T, f *fake) {
			p, _ := f.subscribe(nil)
			outcome := propose(t, f.client, provenProposal())
			first := p.expectProof("e-5", "1")
			for revision := 6; revision < 20; revision++ {
				if movedBefore {
					p.send(transaction(revision), refusedAs(first, codes.ProofStale))
				} else {
					p.send(refusedAs(first, codes.ProofStale))
					p.quiet() // the proof would be for the same position
					p.send(transaction(revision))
				}
				again := p.expectProof(numbered(revision), "1")
				if again.CorrelationID != first.CorrelationID || again.IdempotencyKey != first.IdempotencyKey {
					t.Fatalf("sent %+v, want the ids of %+v", again, first)
				}
			}
			p.send(acceptedAs(first, "e-20"))
			if got := <-outcome; got.err != nil || !got.result.Accepted {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A temporary refusal needs a new proof only where the position has moved.
func TestProve_AfterOtherRefusal(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, _ := f.subscribe(nil)
		propose(t, f.client, provenProposal())
		first := p.expectProof("e-5", "1")
		p.send(refusedAs(first, codes.Busy))
		p.expectAgain(first)
		p.send(transaction(6), refusedAs(first, codes.Busy))
		p.expectProof("e-6", "1")
	})
}

func TestProve_AfterReconnect(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, s := f.subscribe(nil)
		outcome := propose(t, f.client, provenProposal())
		first := p.expectProof("e-5", "1")
		p.cut()
		p = f.accept()
		p.expect(subscribeTo("x", "e-5"))
		p.expectAgain(first)
		p.send(refusedAs(first, codes.ProofStale))
		p.quiet() // the position on this connection is not known yet
		p.send(snapshot("e", 7, 2))
		again := p.expectProof("e-7", "1")
		p.send(replayed(6), replayed(7))
		s.expect("state e-7 resumed +2", "tx e-6 replayed", "tx e-7 replayed")
		p.send(acceptedAs(again, "e-8"))
		if got := <-outcome; got.err != nil || !got.result.Accepted {
			t.Errorf("got %+v", got)
		}
	})
}

func TestProve_NotSubscribed(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		_, err := c.ProposeWith(t.Context(), provenProposal())
		if !errors.Is(err, ErrNotSubscribed) || !strings.Contains(err.Error(), "subscribe to it first") {
			t.Errorf("never subscribed: %v", err)
		}
		s := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		outcome := propose(t, c, provenProposal())
		p.send(&wire.Error{Code: codes.UnauthorizedSubscribe, ShareDataID: "x", Message: "no"})
		if got := <-outcome; !errors.Is(got.err, ErrNotSubscribed) || !errors.Is(got.err, ErrUnauthorized) {
			t.Errorf("refused: %v", got.err)
		}
		s.Close()
		c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		outcome = propose(t, c, provenProposal())
		c.Close()
		if got := <-outcome; !errors.Is(got.err, ErrClosed) {
			t.Errorf("closed: %v", got.err)
		}
	})
}

// While a stale proof waits for the next position, the subscription or the client ends.
func TestProve_EndsWhileStale(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(c *Client, s *Subscription)
		want error
	}{
		"subscription": {func(_ *Client, s *Subscription) { s.Close() }, ErrNotSubscribed},
		"client":       {func(c *Client, _ *Subscription) { c.Close() }, ErrClosed},
		"time":         {func(*Client, *Subscription) {}, ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				p, s := f.subscribe(&Options{HeartbeatInterval: -1})
				outcome := propose(t, f.client, provenProposal())
				p.send(refusedAs(p.expectProof("e-5", "1"), codes.ProofStale))
				synctest.Wait()
				test.end(f.client, s.sub)
				got := <-outcome
				if refused := wantRefused(t, got.err, codes.ProofStale); !errors.Is(got.err, test.want) || !refused.Temporary() {
					t.Errorf("got %v, want %v", got.err, test.want)
				}
			})
		})
	}
}

func TestProve_FinalRefusals(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, _ := f.subscribe(nil)
		for _, code := range []string{codes.ProofInvalid, codes.ProofRequired} {
			outcome := propose(t, f.client, provenProposal())
			p.send(refusedAs(p.expectPropose(), code))
			if wantRefused(t, (<-outcome).err, code).Temporary() {
				t.Errorf("%s is temporary", code)
			}
		}
		fixed := proposalOf("x")
		fixed.Proof = map[string]int{"a": 1}
		outcome := propose(t, f.client, fixed)
		p.send(refusedAs(p.expectPropose(), codes.ProofStale))
		if wantRefused(t, (<-outcome).err, codes.ProofStale).Temporary() {
			t.Error("a proof that nobody renews is temporary")
		}
	})
}

func TestProve_Error(t *testing.T) {
	errKey := errors.New("no key")
	testWithFake(t, func(t *testing.T, f *fake) {
		p, _ := f.subscribe(nil)
		failing := proposalOf("x")
		failing.Prove = func(context.Context, ProofInput) (any, error) { return nil, errKey }
		if _, err := f.client.ProposeWith(t.Context(), failing); !errors.Is(err, errKey) || !strings.Contains(err.Error(), "never sent") {
			t.Errorf("at first: %v", err)
		}
		failing.Prove = func(context.Context, ProofInput) (any, error) { return func() {}, nil }
		if _, err := f.client.ProposeWith(t.Context(), failing); !errors.Is(err, ErrInvalid) {
			t.Errorf("not JSON: %v", err)
		}
		failing.Prove = func(_ context.Context, input ProofInput) (any, error) {
			if input.Position != "e-5" {
				return nil, errKey
			}
			return input, nil
		}
		outcome := propose(t, f.client, failing)
		p.send(transaction(6), refusedAs(p.expectProof("e-5", "1"), codes.ProofStale))
		if err := (<-outcome).err; !errors.Is(err, errKey) {
			t.Errorf("later: %v", err)
		} else {
			wantRefused(t, err, codes.ProofStale)
		}
		failing.Proof = 1
		if _, err := f.client.ProposeWith(t.Context(), failing); !errors.Is(err, ErrInvalid) {
			t.Errorf("Proof and Prove: %v", err)
		}
		p.quiet()
	})
}

func TestProve_ServerWithoutCursors(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(plainState(""))
		synctest.Wait()
		if _, err := c.ProposeWith(t.Context(), provenProposal()); !errors.Is(err, errNoPosition) {
			t.Error(err)
		}
	})
}

// A Prover may take as long as the call, and use the client.
func TestProve_SlowProver(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, _ := f.subscribe(&Options{HeartbeatInterval: -1})
		slow := proposalOf("x")
		slow.Prove = func(ctx context.Context, _ ProofInput) (any, error) {
			f.client.Status()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		if _, err := f.client.ProposeWith(t.Context(), slow); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		p.quiet()
	})
}

// The server did not understand one of several frames. What it says later about a frame
// with another proof does not make known what became of the first one.
func TestCall_FrameReplaced(t *testing.T) {
	c := newCall("c-1", []byte("1"), &wire.Propose{})
	c.sentWithInvalid = true
	c.setFrame([]byte("2"))
	q := calls{maxInFlight: 1, inFlight: []*call{c}}
	q.refuse(c, &wire.ProposalResult{Code: codes.InvalidMessage})
	if got := <-c.outcomes; !errors.Is(got.err, ErrOutcomeUnknown) {
		t.Error(got.err)
	}
}

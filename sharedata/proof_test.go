package sharedata_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// verifyFunc is a ProofVerifier.
type verifyFunc func(ctx context.Context, request sharedata.ProofRequest) error

func (f verifyFunc) VerifyProof(ctx context.Context, request sharedata.ProofRequest) error {
	return f(ctx, request)
}

// positionProof is a proof that names the position and the state that it is for.
type positionProof struct {
	Position  replay.Cursor  `json:"position"`
	StateHash sharedata.Hash `json:"stateHash"`
}

// verifyPosition accepts a positionProof at its position.
func verifyPosition(_ context.Context, request sharedata.ProofRequest) error {
	var proof positionProof
	switch err := json.Unmarshal(request.Proof, &proof); {
	case err != nil:
		return fmt.Errorf("%w: %w", sharedata.ErrProofInvalid, err)
	case proof != positionProof{request.Position, request.StateHash}:
		return fmt.Errorf("%w: it is for %s", sharedata.ErrProofStale, proof.Position)
	}
	return nil
}

func verifying(verify verifyFunc) *sharedata.Options {
	return &sharedata.Options{ProofVerifier: verify}
}

func proofAt(position replay.Cursor, state string) json.RawMessage {
	proof, err := json.Marshal(positionProof{position, sharedata.HashState(rawJSON(state))})
	if err != nil {
		panic(err)
	}
	return proof
}

// proven is an addition to "counter" with a proof for where it is.
func proven(t testing.TB, m *sharedata.Manager, by int, key string) sharedata.Proposal {
	t.Helper()
	at := mustGet(t, m, "counter")
	p := addition("counter", by, key)
	p.Proof = proofAt(at.Cursor, string(at.State))
	return p
}

func TestProof_KeptInEntry(t *testing.T) {
	memory := newMemory(t, nil)
	m := newCounter(t, &sharedata.Options{Store: memory, ProofVerifier: verifyFunc(verifyPosition)}, 0)
	var want []json.RawMessage
	for _, by := range []int{1, -9, 2} { // accepted, rejected, accepted
		p := proven(t, m, by, "")
		want = append(want, p.Proof)
		p.Proof = append([]byte(" \n"), p.Proof...) // space around it is not part of it
		if v, err := m.Propose(t.Context(), p); err != nil || v.Accepted != (by > 0) {
			t.Fatal(v, err)
		}
	}
	mustAdd(t, m, "counter", 1) // a proof is not required
	restarted := newManager(t, &sharedata.Options{Store: memory})
	for _, m := range []*sharedata.Manager{m, restarted} {
		history := wholeHistory(t, m, "counter")
		for i, proof := range append(want, nil) {
			if got := history[1+i].Proof; !bytes.Equal(got, proof) {
				t.Errorf("entry %d has the proof %s, want %s", i+2, got, proof)
			}
		}
	}
}

func TestProof_Request(t *testing.T) {
	var got sharedata.ProofRequest
	m := newCounter(t, verifying(func(ctx context.Context, request sharedata.ProofRequest) error {
		got = request
		if _, bounded := ctx.Deadline(); !bounded || sharedata.CallerFrom(ctx) != request.Caller {
			t.Error("the context is not the function's")
		}
		return nil
	}), 7)
	p := addition("counter", 1, "")
	p.Caller, p.Proof = &sharedata.Caller{Subject: "ann", Issuer: "i"}, rawJSON(`{"a":1}`)
	if _, err := m.Propose(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	first := wholeHistory(t, m, "counter")[0]
	if got.Caller != p.Caller || got.ShareDataID != "counter" || got.FunctionID != "add" || got.Position != first.Cursor ||
		got.StateHash != first.StateHash || string(got.Data) != `{"by":1}` || string(got.Proof) != `{"a":1}` {
		t.Errorf("got %+v", got)
	}
}

func TestProof_Refused(t *testing.T) {
	rejection := sharedata.Reject("a verifier does not reject")
	deep := strings.Repeat(`{"a":`, sharedata.MaxDepth+1) + "1" + strings.Repeat("}", sharedata.MaxDepth+1)
	for name, test := range map[string]struct {
		proof  string
		verify error // what the verifier returns
		want   error
	}{
		"missing":              {"", nil, sharedata.ErrProofRequired},
		"not JSON":             {"{", nil, sharedata.ErrProofInvalid},
		"empty":                {" ", nil, sharedata.ErrProofInvalid},
		"a text":               {`"{}"`, nil, sharedata.ErrProofInvalid},
		"an array":             {`[{}]`, nil, sharedata.ErrProofInvalid},
		"null":                 {`null`, nil, sharedata.ErrProofInvalid},
		"two names alike":      {`{"a":1,"a":2}`, nil, sharedata.ErrProofInvalid},
		"not UTF-8":            {"{\"a\":\"\xff\"}", nil, sharedata.ErrProofInvalid},
		"too deep":             {deep, nil, sharedata.ErrProofInvalid},
		"too long":             {`{"a":"` + strings.Repeat("x", sharedata.MaxProofBytes-7) + `"}`, nil, sharedata.ErrProofInvalid},
		"invalid":              {`{}`, sharedata.ErrProofInvalid, sharedata.ErrProofInvalid},
		"stale":                {`{}`, sharedata.ErrProofStale, sharedata.ErrProofStale},
		"invalid by rejection": {`{}`, errors.Join(rejection, sharedata.ErrProofInvalid), sharedata.ErrProofInvalid},
		"verifier failed":      {`{}`, errBroken, sharedata.ErrFunctionFailed},
		"verifier rejects":     {`{}`, rejection, sharedata.ErrFunctionFailed},
	} {
		t.Run(name, func(t *testing.T) {
			ran := false
			function := sharedata.NewFunction("f", func(_ context.Context, c Counter, _ any) (Counter, error) {
				ran = true
				return c, nil
			}).WithRequiredProof()
			verified := false
			m := newCounter(t, verifying(func(context.Context, sharedata.ProofRequest) error {
				verified = true
				return test.verify
			}), 0, function)
			p := sharedata.Proposal{ShareDataID: "counter", FunctionID: "f", Data: 1, IdempotencyKey: "k"}
			if test.proof != "" {
				p.Proof = rawJSON(test.proof)
			}
			v, err := m.Propose(t.Context(), p)
			if _, failed := errors.AsType[*sharedata.FunctionError](err); !errors.Is(err, test.want) || failed != (test.want == sharedata.ErrFunctionFailed) {
				t.Errorf("got %+v, %v, want %v", v, err, test.want)
			}
			if ran || verified != (test.verify != nil) {
				t.Errorf("ran %t, verified %t", ran, verified)
			}
			wantHistory(t, m, "counter", "1 created")
		})
	}
}

func TestProof_LargestAccepted(t *testing.T) {
	m := newCounter(t, verifying(func(context.Context, sharedata.ProofRequest) error { return nil }), 0)
	p := addition("counter", 1, "")
	p.Proof = rawJSON(`{"a":"` + strings.Repeat("x", sharedata.MaxProofBytes-8) + `"}`)
	if _, err := m.Propose(t.Context(), p); err != nil {
		t.Error(err)
	}
}

// A verifier that panics, or does not return by the deadline, fails the proposal like
// its function, and the next proposal is decided.
func TestProof_VerifierPanicOrTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		m := newCounter(t, verifying(func(_ context.Context, request sharedata.ProofRequest) error {
			switch string(request.Proof) {
			case `{"panic":true}`:
				panic("no proof")
			case `{"block":true}`:
				<-open
			}
			return nil
		}), 0)
		for proof, want := range map[string]error{`{"panic":true}`: sharedata.ErrFunctionPanicked, `{"block":true}`: context.DeadlineExceeded, `{}`: nil} {
			p := addition("counter", 1, "")
			p.Proof = rawJSON(proof)
			if v, err := m.Propose(t.Context(), p); !errors.Is(err, want) || v.Accepted != (want == nil) {
				t.Errorf("%s: %+v, %v", proof, v, err)
			}
		}
		close(open)
		synctest.Wait()
		wantState(t, m, "counter", `{"value":1}`)
	})
}

func TestProof_IgnoredWithoutVerifier(t *testing.T) {
	m := newCounter(t, nil, 0)
	p := addition("counter", 1, "")
	p.Proof = rawJSON(`[`)
	if v, err := m.Propose(t.Context(), p); err != nil || !v.Accepted {
		t.Fatal(v, err)
	}
	if proof := wholeHistory(t, m, "counter")[1].Proof; proof != nil {
		t.Errorf("the entry has the proof %s", proof)
	}
}

func TestProof_RequiredWithoutVerifier(t *testing.T) {
	required := add.WithRequiredProof()
	if _, err := sharedata.NewManager(&sharedata.Options{Kinds: []sharedata.Kind{sharedata.NewKind("k", required)}}); !errors.Is(err, sharedata.ErrInvalidFunction) {
		t.Errorf("a kind: %v", err)
	}
	if _, err := sharedata.NewManager(&sharedata.Options{RequireProof: func(string, string) bool { return false }}); err == nil {
		t.Error("RequireProof is accepted")
	}
	m := newCounter(t, nil, 0)
	if _, err := m.Create(t.Context(), "x", 0, required); !errors.Is(err, sharedata.ErrInvalidFunction) {
		t.Errorf("Create: %v", err)
	}
	if _, err := m.Ensure(t.Context(), "x", 0, required); !errors.Is(err, sharedata.ErrInvalidFunction) {
		t.Errorf("Ensure: %v", err)
	}
	p := addition("counter", 1, "")
	p.Function, p.Proof = required, rawJSON(`{}`)
	if _, err := m.Propose(t.Context(), p); !errors.Is(err, sharedata.ErrInvalidFunction) {
		t.Errorf("Proposal.Function: %v", err)
	}
}

func TestProof_RequiredByOption(t *testing.T) {
	options := verifying(verifyPosition)
	options.RequireProof = func(shareDataID, functionID string) bool {
		if functionID == "panics" {
			panic("no rule")
		}
		return shareDataID == "counter" && functionID == "add"
	}
	m := newCounter(t, options, 0, sharedata.NewFunction("panics", func(_ context.Context, s, _ any) (any, error) { return s, nil }))
	createCounter(t, m, "free", 0)
	mustAdd(t, m, "free", 1)
	for _, functionID := range []string{"add", "panics"} {
		p := sharedata.Proposal{ShareDataID: "counter", FunctionID: functionID, Data: Add{1}}
		if _, err := m.Propose(t.Context(), p); !errors.Is(err, sharedata.ErrProofRequired) {
			t.Errorf("%s: %v", functionID, err)
		}
	}
	if v, err := m.Propose(t.Context(), proven(t, m, 1, "")); err != nil || !v.Accepted {
		t.Error(v, err)
	}
	infos, err := m.Functions(t.Context(), "counter")
	if err != nil || len(infos) != 3 {
		t.Fatal(infos, err)
	}
	for _, info := range infos {
		if info.ProofRequired != (info.ID != "broken") {
			t.Errorf("%+v", info)
		}
	}
}

// A rejection moves the position and not the state. A proof is good for one position,
// also where the function needs not run again.
func TestProof_VerifiedAtEachPosition(t *testing.T) {
	for offset, accepted := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			m, runs := newRuns(t, g, verifying(verifyPosition))
			if _, err := m.Propose(t.Context(), runOf("rejected first", "known")); err != nil {
				t.Fatal(err)
			}
			// In the batch, the repeat is first decided as new, which moves the position.
			// The append finds that it is a repeat, so that it adds nothing.
			position := mustGet(t, m, "counter").Cursor
			position.Revision += 1 + uint64(offset) // after held, and maybe the repeat
			var replies replies
			m.Submit(t.Context(), proposalFrom("", "held"), func(sharedata.Verdict, error) {})
			<-g.arrived
			m.Submit(t.Context(), runOf("rejected repeat", "known"), replies.done("repeat"))
			p := runOf("proven", "new")
			p.Proof = proofAt(position, `{"value":1}`)
			m.Submit(t.Context(), p, replies.done("proven"))
			g.open <- struct{}{}
			synctest.Wait()
			for _, reply := range replies.all() {
				if reply.name == "proven" && (reply.verdict.Accepted != accepted || errors.Is(reply.err, sharedata.ErrProofStale) == accepted) {
					t.Errorf("offset %d: %+v", offset, reply)
				}
			}
			if n := runs("proven"); n != 1 {
				t.Errorf("offset %d: the function ran %d times", offset, n)
			}
		})
	}
}

// A verifier that does not care about the position is asked again at another one, but
// the function is not run again on the same state.
func TestProof_FunctionRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var verified atomic.Int32
		m, runs := newRuns(t, g, verifying(func(context.Context, sharedata.ProofRequest) error {
			verified.Add(1)
			return nil
		}))
		if _, err := m.Propose(t.Context(), runOf("rejected first", "known")); err != nil {
			t.Fatal(err)
		}
		var replies replies
		m.Submit(t.Context(), proposalFrom("", "held"), func(sharedata.Verdict, error) {})
		<-g.arrived
		m.Submit(t.Context(), runOf("rejected repeat", "known"), replies.done("repeat"))
		p := runOf("proven", "")
		p.Proof = rawJSON(`{}`)
		m.Submit(t.Context(), p, replies.done("proven"))
		g.open <- struct{}{}
		synctest.Wait()
		if n := runs("proven"); n != 1 || verified.Load() != 2 {
			t.Errorf("the function ran %d times, and the proof was verified %d times", n, verified.Load())
		}
		wantState(t, m, "counter", `{"value":2}`)
	})
}

// A repeat gets the first verdict, although its proof was made for a position that is
// past: in the same batch, later, and from another process.
func TestProof_RepeatIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m, runs := newRuns(t, g, verifying(verifyPosition))
		position := mustGet(t, m, "counter").Cursor.Next() // after held
		p := runOf("proven", "k")
		p.Proof = proofAt(position, `{"value":1}`)
		var replies replies
		m.Submit(t.Context(), proposalFrom("", "held"), func(sharedata.Verdict, error) {})
		<-g.arrived
		m.Submit(t.Context(), p, replies.done("first"))
		m.Submit(t.Context(), p, replies.done("repeat"))
		g.open <- struct{}{}
		time.Sleep(time.Minute)
		synctest.Wait()
		got := replies.all()
		if len(got) != 2 || got[0].err != nil || runs("proven") != 1 {
			t.Fatalf("got %+v", got)
		}
		wantRepeat(t, "in the batch", got[0].verdict, got[1].verdict, got[1].err)
		again, err := m.Propose(t.Context(), p)
		wantRepeat(t, "later", got[0].verdict, again, err)
	})
}

// White space around a state is not part of it: frames do not have it, so that a
// subscriber computes the hash without it.
func TestState_SurroundingSpaceTrimmed(t *testing.T) {
	m := newManager(t, nil)
	spaces := sharedata.NewRawFunction("f", func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
		return rawJSON("\r\n2\t"), nil
	})
	if _, err := m.Create(t.Context(), "x", rawJSON(" 1 \n"), spaces); err != nil {
		t.Fatal(err)
	}
	wantState(t, m, "x", "1")
	if _, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "f"}); err != nil {
		t.Fatal(err)
	}
	wantState(t, m, "x", "2")
	if _, err := m.Update(t.Context(), "x", rawJSON("\t3")); err != nil {
		t.Fatal(err)
	}
	wantState(t, m, "x", "3")
	for i, e := range wholeHistory(t, m, "x") {
		if e.StateHash != sharedata.HashState(rawJSON(fmt.Sprint(i+1))) {
			t.Errorf("%s has the hash of another state", e.Cursor)
		}
	}
}

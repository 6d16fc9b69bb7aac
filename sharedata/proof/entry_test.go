package proof_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/proof"
)

// An entry that was exported as JSON still proves who wanted it, and nothing else.
func TestVerifyEntry(t *testing.T) {
	k := newKit(t)
	m, err := sharedata.NewManager(&sharedata.Options{ProofVerifier: k.verifier})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	set := sharedata.NewFunction("set", func(_ context.Context, _, in any) (any, error) { return in, nil })
	at, err := m.Create(t.Context(), "x", 0, set.WithRequiredProof())
	if err != nil {
		t.Fatal(err)
	}
	p := sharedata.Proposal{ShareDataID: "x", FunctionID: "set", Data: json.RawMessage(`{"<b>":1.50,"a":"\u0041"}`), Caller: request().Caller}
	r := sharedata.ProofRequest{Caller: p.Caller, ShareDataID: "x", FunctionID: "set", Position: at.Cursor, StateHash: sharedata.HashState(at.State), Data: p.Data.(json.RawMessage)}
	p.Proof = raw(t, prove(t, r, k.ann))
	if v, err := m.Propose(t.Context(), p); err != nil || !v.Accepted {
		t.Fatal(v, err)
	}
	if _, err := m.Propose(t.Context(), p); !errors.Is(err, sharedata.ErrProofStale) {
		t.Errorf("a replay: %v", err)
	}
	var entries []sharedata.Entry
	for e, err := range m.History(t.Context(), "x", replay.Cursor{}) {
		text, _ := json.Marshal(e)
		var imported sharedata.Entry
		if err != nil || json.Unmarshal(text, &imported) != nil {
			t.Fatal(err)
		}
		entries = append(entries, imported)
	}
	if err := proof.VerifyEntry(t.Context(), k.registry, entries[0], entries[1]); err != nil {
		t.Error(err)
	}
	if err := proof.VerifyEntry(t.Context(), k.registry, entries[0], entries[0]); !errors.Is(err, proof.ErrNoProof) {
		t.Errorf("no proof: %v", err)
	}
	if err := proof.VerifyEntry(t.Context(), k.registry, entries[1], entries[1]); !errors.Is(err, sharedata.ErrProofStale) {
		t.Errorf("after another entry: %v", err)
	}
	entries[1].Data = json.RawMessage(`{}`)
	if err := proof.VerifyEntry(t.Context(), k.registry, entries[0], entries[1]); !errors.Is(err, sharedata.ErrProofInvalid) {
		t.Errorf("other data: %v", err)
	}
}

package sharedata_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// seen is a verifier that makes proposers say which position they have seen. Package
// sharedata/proof has one for signatures.
type seen struct{}

func (seen) VerifyProof(_ context.Context, request sharedata.ProofRequest) error {
	var proof struct {
		Seen replay.Cursor `json:"seen"`
	}
	if err := json.Unmarshal(request.Proof, &proof); err != nil {
		return fmt.Errorf("%w: %w", sharedata.ErrProofInvalid, err)
	}
	if proof.Seen != request.Position {
		return fmt.Errorf("%w: somebody was faster", sharedata.ErrProofStale)
	}
	return nil
}

func ExampleProofVerifier() {
	ctx := context.Background()
	manager, err := sharedata.NewManager(&sharedata.Options{ProofVerifier: seen{}})
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	at, err := manager.Create(ctx, "counter", Counter{}, add.WithRequiredProof())
	if err != nil {
		panic(err)
	}
	proposal := sharedata.Proposal{ShareDataID: "counter", FunctionID: "add", Data: Add{By: 1}}
	_, err = manager.Propose(ctx, proposal)
	fmt.Println(err)
	proposal.Proof = json.RawMessage(fmt.Sprintf(`{"seen":%q}`, at.Cursor))
	verdict, err := manager.Propose(ctx, proposal)
	fmt.Println("accepted:", verdict.Accepted, err)
	_, err = manager.Propose(ctx, proposal)
	fmt.Println(err)
	// Output:
	// a proof is required for "add" of "counter"
	// accepted: true <nil>
	// the proof is stale: somebody was faster
}

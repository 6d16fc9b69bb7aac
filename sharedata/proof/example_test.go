package proof_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/client"
	signing "github.com/safe-go/safe/client/proof"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/proof"
)

// A proof serves one change at one position. The service proposes for ann here; package
// client/proof has an example over a connection.
func Example() {
	ctx := context.Background()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	key, err := jwk.FromRaw(public)
	if err != nil {
		panic(err)
	}
	if err := key.Set(jwk.KeyIDKey, "ann-2026"); err != nil {
		panic(err)
	}
	keys := proof.NewRegistry()
	if err := keys.Add("issuer", "ann", key); err != nil {
		panic(err)
	}
	manager, err := sharedata.NewManager(&sharedata.Options{ProofVerifier: proof.NewVerifier(keys)})
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	append := sharedata.NewFunction("append", func(_ context.Context, list, in []string) ([]string, error) {
		return append(list, in...), nil
	})
	at, err := manager.Create(ctx, "list", []string{}, append.WithRequiredProof())
	if err != nil {
		panic(err)
	}

	signer, err := signing.NewSigner("issuer", "ann", "ann-2026", private)
	if err != nil {
		panic(err)
	}
	data := json.RawMessage(`["x"]`)
	signed, err := signer.Prove(ctx, client.ProofInput{
		ShareDataID: "list", FunctionID: "append", Data: data,
		Position: at.Cursor.String(), StateHash: sharedata.HashState(at.State).String(),
	})
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(signed)
	if err != nil {
		panic(err)
	}
	proposal := sharedata.Proposal{
		ShareDataID: "list", FunctionID: "append", Data: data, Proof: text,
		Caller: &sharedata.Caller{Issuer: "issuer", Subject: "ann"},
	}
	verdict, err := manager.Propose(ctx, proposal)
	fmt.Println("accepted:", verdict.Accepted, err)
	_, err = manager.Propose(ctx, proposal)
	fmt.Println("replayed:", errors.Is(err, sharedata.ErrProofStale))
	proposal.Caller = &sharedata.Caller{Issuer: "issuer", Subject: "bob"}
	_, err = manager.Propose(ctx, proposal)
	fmt.Println("by bob:", err)
	// Output:
	// accepted: true <nil>
	// replayed: true
	// by bob: the proof is invalid: it is by the caller "ann", and not by "bob"
}

package proof_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/client/proof"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	verifying "github.com/safe-go/safe/sharedata/proof"
)

// Ann's changes need a proof with her key. The history keeps the proofs.
func Example() {
	ctx := context.Background()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}

	// The server knows the public key.
	key, err := jwk.FromRaw(public)
	if err != nil {
		panic(err)
	}
	if err := key.Set(jwk.KeyIDKey, "ann-2026"); err != nil {
		panic(err)
	}
	keys := verifying.NewRegistry()
	if err := keys.Add("", "ann", key); err != nil {
		panic(err)
	}
	manager, err := sharedata.NewManager(&sharedata.Options{
		ProofVerifier: verifying.NewVerifier(keys),
		RequireProof:  func(shareDataID, functionID string) bool { return true },
	})
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	if _, err := manager.Create(ctx, "counter", Counter{}, add); err != nil {
		panic(err)
	}
	server, err := realtime.NewServer(manager, &realtime.Options{
		Authenticate: func(*http.Request) (*sharedata.Caller, error) { return &sharedata.Caller{Subject: "ann"}, nil },
	})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	listener := httptest.NewServer(server)
	defer listener.Close()

	// The client knows the private key, and from its subscription the position.
	signer, err := proof.NewSigner("", "ann", "ann-2026", private)
	if err != nil {
		panic(err)
	}
	c, err := client.Dial(ctx, listener.URL, nil)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	defer c.Subscribe("counter").Close()
	proposal := client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: Add{By: 5}}
	_, err = c.ProposeWith(ctx, proposal)
	fmt.Println(err)
	proposal.Prove = signer.Prove
	result, err := c.ProposeWith(ctx, proposal)
	fmt.Println("accepted:", result.Accepted, err)

	// An auditor knows the keys and the history.
	var before sharedata.Entry
	for entry, err := range manager.History(ctx, "counter", replay.Cursor{}) {
		if err != nil {
			panic(err)
		}
		if entry.Type == sharedata.EntryTransaction {
			err := verifying.VerifyEntry(ctx, keys, before, entry)
			fmt.Printf("%s by %s proven: %t\n", entry.Data, entry.Caller.Subject, err == nil)
		}
		before = entry
	}
	// Output:
	// proposal to "add" of "counter" refused: proof-required: function "add" of ShareData "counter" requires a proof
	// accepted: true <nil>
	// {"by":5} by ann proven: true
}

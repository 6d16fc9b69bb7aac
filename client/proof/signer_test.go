package proof_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/client/proof"
	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/schemas/codes"
	verifying "github.com/safe-go/safe/sharedata/proof"
)

// opaque is a crypto.Signer whose key cannot be read.
type opaque struct{}

func (opaque) Public() crypto.PublicKey { return ed25519.PublicKey{} }

func (opaque) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }

func TestNewSigner_Keys(t *testing.T) {
	_, good, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.NewSigner("", "", "k", good); err != nil {
		t.Error(err)
	}
	if _, err := proof.NewSigner("", "", "", good); !errors.Is(err, proof.ErrKey) {
		t.Errorf("without id: %v", err)
	}
	for name, key := range map[string]crypto.Signer{"nil": nil, "P-384": p384, "RSA": rsaKey, "opaque": opaque{}, "empty": ed25519.PrivateKey{}} {
		if _, err := proof.NewSigner("", "", "k", key); !errors.Is(err, proof.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The proofs that a server refuses end the call, and say why.
func TestProve_Refused(t *testing.T) {
	keys := verifying.NewRegistry()
	server := newProcess(t, sharedstore.New(), keys)
	ann, bob := newSigner(t, keys, "ann", false), newSigner(t, keys, "bob", true)
	c, _ := connect(t, server.url, "ann")
	propose := func(prove client.Prover, data any) error {
		_, err := c.ProposeWith(t.Context(), client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: data, Prove: prove})
		return err
	}
	otherData := func(ctx context.Context, input client.ProofInput) (any, error) {
		input.Data = json.RawMessage(`{"by":100}`)
		return ann.Prove(ctx, input)
	}
	for _, test := range []struct {
		name  string
		prove client.Prover
		code  string
	}{{"none", nil, codes.ProofRequired}, {"bob's", bob.Prove, codes.ProofInvalid}, {"other data", otherData, codes.ProofInvalid}} {
		refused, ok := errors.AsType[*client.ProposalError](propose(test.prove, Add{By: 1}))
		if !ok || refused.Code != test.code || refused.Message == "" {
			t.Errorf("%s: %v, want %s", test.name, refused, test.code)
		}
	}
	if err := propose(ann.Prove, json.RawMessage("9007199254740993")); err == nil || !strings.Contains(err.Error(), "9007199254740993") {
		t.Errorf("a number that is none: %v", err)
	}
	if err := propose(ann.Prove, Add{By: 1}); err != nil {
		t.Error(err)
	}
}

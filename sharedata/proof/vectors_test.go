package proof_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	form "github.com/safe-go/safe/internal/proof"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/proof"
)

// vector is a proof that does not change from one release to the next.
type vector struct {
	Name         string
	Key          json.RawMessage // private
	State        string
	ProposedData json.RawMessage
	Proof        json.RawMessage
	Document     string
}

const documentation = "../../docs/proofs.md"

func readVectors(t *testing.T) []vector {
	t.Helper()
	var vectors []vector
	text, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(text, &vectors)
	}
	if err != nil || len(vectors) < 3 {
		t.Fatal(len(vectors), err)
	}
	return vectors
}

// request is what the vector proves, taken from its claims.
func (v *vector) request(t *testing.T) sharedata.ProofRequest {
	t.Helper()
	p, err := form.Parse(v.Proof)
	if err != nil {
		t.Fatal(err)
	}
	position, err := replay.ParseCursor(p.Position)
	if err != nil {
		t.Fatal(err)
	}
	return sharedata.ProofRequest{
		Caller:      &sharedata.Caller{Issuer: p.Caller.Issuer, Subject: p.Caller.Subject},
		ShareDataID: p.ShareDataID, FunctionID: p.Purpose, Position: position,
		StateHash: sharedata.HashState(json.RawMessage(v.State)), Data: v.ProposedData, Proof: v.Proof,
	}
}

func (v *vector) verify(t *testing.T, p json.RawMessage) error {
	t.Helper()
	key, err := jwk.ParseKey(v.Key)
	if err != nil {
		t.Fatal(err)
	}
	r := v.request(t)
	r.Proof = p
	keys := proof.NewRegistry()
	if err := keys.Add(r.Caller.Issuer, r.Caller.Subject, key); err != nil {
		t.Fatal(err)
	}
	return proof.NewVerifier(keys).VerifyProof(t.Context(), r)
}

func TestVectors(t *testing.T) {
	text, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range readVectors(t) {
		p, err := form.Parse(v.Proof)
		if err != nil {
			t.Fatal(err)
		}
		if document, err := p.Document(v.ProposedData); err != nil || string(document) != v.Document {
			t.Errorf("%s: the document is %s, want %s (%v)", v.Name, document, v.Document, err)
		}
		if err := v.verify(t, v.Proof); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		for _, part := range []string{v.Document, string(v.Proof), string(v.ProposedData), string(v.Key)} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: %s does not have %s", v.Name, documentation, part)
			}
		}
	}
}

// The JavaScript in the documentation makes proofs that are accepted, and the documents
// of the vectors.
func TestVectors_JavaScript(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("SAFE_REQUIRE_NODE") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no node")
	}
	text, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(text), "```js\n")
	script, _, _ = strings.Cut(script, "```")
	vectors := readVectors(t)
	input, err := json.Marshal(vectors)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), node, "--input-type=module", "-e", script+`
const results = [];
for (const v of JSON.parse(process.argv[1])) {
  const { jws, ...claims } = v.Proof;
  const algorithm = v.Key.kty === "OKP" ? "Ed25519" : { name: "ECDSA", namedCurve: "P-256" };
  const { kid, ...jwk } = v.Key;
  const key = await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
  const frame = '{"v":1,"type":"state","a":{"currentState":[1,"}"]},"currentState":' + v.State + ',"b":"\\"currentState\\":2"}';
  const stateHash = await hashOf(rawMember(frame, "currentState"));
  results.push({
    document: canonical({ ...claims, proposedData: v.ProposedData }),
    proof: await prove(key, kid, { ...claims, stateHash }, v.ProposedData),
  });
}
console.log(JSON.stringify(results));
`, string(input))
	output, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%v\n%s", err, exit.Stderr)
	}
	var results []struct {
		Document string
		Proof    json.RawMessage
	}
	if err := json.Unmarshal(output, &results); err != nil || len(results) != len(vectors) {
		t.Fatalf("%s: %v", output, err)
	}
	for i, v := range vectors {
		if results[i].Document != v.Document {
			t.Errorf("%s: the document is %s, want %s", v.Name, results[i].Document, v.Document)
		}
		if err := v.verify(t, results[i].Proof); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

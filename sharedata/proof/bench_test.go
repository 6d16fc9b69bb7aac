package proof_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/sharedata"
)

// BenchmarkPropose is one proposal after the other on a small state in memory. Making
// the proof is not measured.
func BenchmarkPropose(b *testing.B) {
	for name, generate := range map[string]func(k *kit) jwk.Key{
		"proof=none":    func(*kit) jwk.Key { return nil },
		"proof=Ed25519": func(k *kit) jwk.Key { return k.ann },
		"proof=ES256": func(k *kit) jwk.Key {
			key := newKey(b, "a2", p256)
			k.add("ann", key)
			return key
		},
	} {
		b.Run(name, func(b *testing.B) {
			k := newKit(b)
			key := generate(k)
			m, err := sharedata.NewManager(&sharedata.Options{ProofVerifier: k.verifier})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			add := sharedata.NewFunction("add", func(_ context.Context, n, by int) (int, error) { return n + by, nil })
			at, err := m.Create(b.Context(), "n", 0, add)
			if err != nil {
				b.Fatal(err)
			}
			r := request()
			r.ShareDataID, r.Data, r.Position = "n", json.RawMessage("0"), at.Cursor
			r.StateHash = sharedata.HashState(at.State)
			p := sharedata.Proposal{ShareDataID: "n", FunctionID: "add", Data: r.Data, Caller: r.Caller}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if key != nil {
					b.StopTimer()
					p.Proof = raw(b, prove(b, r, key))
					b.StartTimer()
				}
				v, err := m.Propose(b.Context(), p)
				if err != nil || !v.Accepted {
					b.Fatal(v, err)
				}
				r.Position = v.Cursor
			}
		})
	}
}

// BenchmarkVerifyProof is the verifier alone, also for what it refuses.
func BenchmarkVerifyProof(b *testing.B) {
	k, good := newKit(b), request()
	good.Proof = raw(b, prove(b, good, k.ann))
	stale, garbage, curve := good, good, good
	stale.Position.Revision++
	garbage.Proof = json.RawMessage(`{"jws":"eyJhbGciOiJFZERTQSJ9..AAAA"}`)
	curve.Caller = &sharedata.Caller{Issuer: "issuer", Subject: "bob"}
	curve.Proof = raw(b, prove(b, curve, k.bob))
	for name, r := range map[string]sharedata.ProofRequest{"Ed25519": good, "ES256": curve, "stale": stale, "garbage": garbage} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := k.verifier.VerifyProof(b.Context(), r); (err == nil) != (name == "Ed25519" || name == "ES256") {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSign is what a proof costs its proposer.
func BenchmarkSign(b *testing.B) {
	k := newKit(b)
	for name, key := range map[string]jwk.Key{"Ed25519": k.ann, "ES256": k.bob} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				prove(b, request(), key)
			}
		})
	}
}

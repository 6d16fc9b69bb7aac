package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

const (
	minRSABits = 2048 // RFC 7518 section 3.3
	maxRSABits = 8192 // verifying with a larger key takes long enough to be an attack
)

var (
	algorithmsRSA     = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	algorithmsOfCurve = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"} // RFC 7518 section 3.4
	algorithmsEd25519 = []string{"EdDSA"}                                                       // RFC 8037 section 3.1
	algorithmsHMAC    = []string{"HS256", "HS384", "HS512"}
	// minHMACKeyBytes is the length of the shortest secret for each of algorithmsHMAC,
	// that of the hash (RFC 7518 section 3.2).
	minHMACKeyBytes = []int{32, 48, 64}
)

// Algorithms returns the names of the allowed algorithms (RFC 7518 section 3.1).
func Algorithms() []string {
	return slices.Concat(algorithmsRSA, []string{"ES256", "ES384", "ES512"}, algorithmsEd25519, algorithmsHMAC)
}

func allowed(algorithm string) bool { return slices.Contains(Algorithms(), algorithm) }

// AlgorithmsOf returns the algorithms that a key may be used with, the usual one first:
// by its type and size, and only the one that the key itself names, if it does. None
// for a key that is too weak, of another type, or for encryption.
func AlgorithmsOf(key jwk.Key) []string {
	raw, err := jwk.PublicRawKeyOf(key)
	if err != nil || key.KeyUsage() != "" && key.KeyUsage() != string(jwk.ForSignature) {
		return nil
	}
	algorithms := algorithmsOfRaw(raw)
	if own := key.Algorithm(); own != nil && own.String() != "" {
		if !slices.Contains(algorithms, own.String()) {
			return nil
		}
		return []string{own.String()}
	}
	return algorithms
}

func algorithmsOfRaw(raw any) []string {
	switch raw := raw.(type) {
	case *rsa.PublicKey:
		if bits := raw.N.BitLen(); bits >= minRSABits && bits <= maxRSABits {
			return algorithmsRSA
		}
	case *ecdsa.PublicKey:
		if algorithm := algorithmsOfCurve[raw.Curve.Params().Name]; algorithm != "" {
			return []string{algorithm}
		}
	case ed25519.PublicKey:
		if len(raw) == ed25519.PublicKeySize {
			return algorithmsEd25519
		}
	case []byte:
		n := 0
		for n < len(minHMACKeyBytes) && len(raw) >= minHMACKeyBytes[n] {
			n++
		}
		return algorithmsHMAC[:n]
	}
	return nil
}

// IsFor reports whether one of the algorithms is the only one that a key may be used
// with.
func IsFor(key jwk.Key, algorithms ...string) bool {
	own := AlgorithmsOf(key)
	return len(own) == 1 && slices.Contains(algorithms, own[0])
}

// CanVerify reports whether a key can verify messages at all.
func CanVerify(key jwk.Key) bool { return permits(key, jwk.KeyOpVerify) && len(AlgorithmsOf(key)) > 0 }

// permits reports whether the key_ops of a key contain the operation; a key without
// key_ops permits all (RFC 7517 section 4.3).
func permits(key jwk.Key, operation jwk.KeyOperation) bool {
	operations := key.KeyOps()
	return len(operations) == 0 || slices.Contains(operations, operation)
}

package jose

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Sign returns the payload as a signed message. The header has the id of the key, if it
// has one, the type, if it is not empty, and the algorithm that the key names,
// otherwise the usual one of its type: RS256, ES256, ES384, ES512, EdDSA or HS256.
// Errors are ErrKey, and ErrMalformed for a payload that is too long for Parse.
func Sign(payload []byte, typ string, key jwk.Key) (string, error) {
	compact, err := sign(payload, typ, key)
	if err != nil {
		return "", err
	}
	return checkSize(compact)
}

// checkSize returns the message if it is not too long for Parse.
func checkSize(compact string) (string, error) {
	if len(compact) > MaxBytes {
		return "", fmt.Errorf("%w: it has %d bytes; at most %d are accepted", ErrMalformed, len(compact), MaxBytes)
	}
	return compact, nil
}

// sign is Sign without a bound of the size.
func sign(payload []byte, typ string, key jwk.Key) (string, error) {
	var raw any
	if err := key.Raw(&raw); err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	if asymmetric, ok := key.(jwk.AsymmetricKey); ok && !asymmetric.IsPrivate() || !permits(key, jwk.KeyOpSign) {
		return "", fmt.Errorf("%w: use a private key that may sign", ErrKey)
	}
	algorithms := AlgorithmsOf(key)
	if len(algorithms) == 0 {
		return "", fmt.Errorf("%w: use RSA with %d to %d bits, P-256, P-384, P-521, Ed25519, or a secret of 32 bytes or more",
			ErrKey, minRSABits, maxRSABits)
	}
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid,omitempty"`
		Type      string `json:"typ,omitempty"`
	}{algorithms[0], key.KeyID(), typ})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(header) + "." + encode(payload)
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(algorithms[0]))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	signature, err := signer.Sign([]byte(signed), raw)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	return signed + "." + encode(signature), nil
}

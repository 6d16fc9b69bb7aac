package jose

import (
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// maxTries is how many keys are tried on one message, so that a large key set does
// not make a forged message expensive.
const maxTries = 4

// Verify checks the signature and returns the key that made it. If the header names a
// key, only keys of that id are tried. Otherwise a key is used that is the only one
// of the set that fits; of several, those without an id. A key fits if its type, its
// size, and its members alg, use and key_ops allow the algorithm of the header.
//
// Errors are ErrUnknownKey, where a newer key set might have the key, ErrAlgorithm,
// where no key of the right id fits, and ErrSignature.
func (m *Message) Verify(keys jwk.Set) (jwk.Key, error) {
	candidates, err := m.candidates(keys)
	if err != nil {
		return nil, err
	}
	verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(m.Header.Algorithm))
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not supported", ErrAlgorithm, m.Header.Algorithm)
	}
	for _, key := range candidates {
		raw, err := jwk.PublicRawKeyOf(key)
		if err == nil && verifier.Verify([]byte(m.signed), m.signature, raw) == nil {
			return key, nil
		}
	}
	return nil, ErrSignature
}

// candidates returns the keys to try, at least one and at most maxTries.
func (m *Message) candidates(keys jwk.Set) ([]jwk.Key, error) {
	var fitting, withoutID []jwk.Key
	named := false // a key has the id of the header
	for i := range keys.Len() {
		key, _ := keys.Key(i)
		if m.Header.KeyID != "" && key.KeyID() != m.Header.KeyID {
			continue
		}
		named = true
		if !permits(key, jwk.KeyOpVerify) || !slices.Contains(AlgorithmsOf(key), m.Header.Algorithm) {
			continue
		}
		fitting = append(fitting, key)
		if key.KeyID() == "" {
			withoutID = append(withoutID, key)
		}
	}
	if m.Header.KeyID == "" && len(fitting) > 1 {
		fitting = withoutID
	}
	switch {
	case m.Header.KeyID != "" && !named:
		return nil, fmt.Errorf("%w: none has the id %.40q", ErrUnknownKey, m.Header.KeyID)
	case m.Header.KeyID != "" && len(fitting) == 0:
		return nil, fmt.Errorf("%w: no key with the id %.40q may be used with %s", ErrAlgorithm, m.Header.KeyID, m.Header.Algorithm)
	case len(fitting) == 0:
		return nil, fmt.Errorf("%w: the header has no kid, and the key set does not have exactly one key for %s; set kid when signing", ErrUnknownKey, m.Header.Algorithm)
	case len(fitting) > maxTries:
		return nil, fmt.Errorf("%w: %d keys fit, and at most %d are tried; give each an id of its own", ErrUnknownKey, len(fitting), maxTries)
	}
	return fitting, nil
}

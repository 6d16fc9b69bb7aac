package auth

import (
	"context"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
)

// KeySource is where the keys of an issuer come from: NewKeys for given keys, NewJWKS
// for a URL or a file.
type KeySource interface {
	// Keys returns the keys that are listed at present. It is called for every token,
	// from any number of goroutines. The set must not be changed afterwards.
	Keys(ctx context.Context) (jwk.Set, error)
}

// Refresher is a KeySource that can be asked for newer keys, because a token may have been
// signed by a key that is not in the set known. It returns a newer set if it can get one soon,
// otherwise the same one, and limits by itself how often it reads them.
type Refresher interface {
	KeySource
	Refresh(ctx context.Context, known jwk.Set) (jwk.Set, error)
}

// NewKeys returns a source of the given keys. Each is a jwk.Key, a jwk.Set or a key
// of the standard library: *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, their
// private keys, or a secret as []byte. What a jwk.Key says about its use is obeyed. A
// token that names a key is verified by a key of that id only, so keys of an issuer
// that names them need their ids (jwk.KeyIDKey).
//
// To rotate keys, register a new source with the keys that remain and the new ones
// (Authorities.Set). The error is ErrInvalidOption, also for a key that is too weak or
// not for verifying.
func NewKeys(keys ...any) (KeySource, error) {
	set := jwk.NewSet()
	for _, given := range keys {
		listed, isSet := given.(jwk.Set)
		if !isSet {
			key, err := toKey(given)
			if err != nil {
				return nil, err
			}
			listed = jwk.NewSet()
			_ = listed.AddKey(key) // fails only for a key that is in the set
		}
		for i := range listed.Len() {
			key, _ := listed.Key(i)
			if err := addUsable(set, key); err != nil {
				return nil, err
			}
		}
	}
	if set.Len() == 0 {
		return nil, fmt.Errorf("%w: auth: give NewKeys at least one key", ErrInvalidOption)
	}
	return givenKeys{set}, nil
}

func toKey(given any) (jwk.Key, error) {
	if key, ok := given.(jwk.Key); ok {
		return key, nil
	}
	key, err := jwk.FromRaw(given)
	if err != nil {
		return nil, fmt.Errorf("%w: auth: %T is no key that is supported", ErrInvalidOption, given)
	}
	return key, nil
}

// addUsable adds the public key of a key that can verify tokens.
func addUsable(set jwk.Set, key jwk.Key) error {
	if !jose.CanVerify(key) {
		return fmt.Errorf("%w: auth: the key %.40q cannot verify tokens: it is too weak, of a type that is not supported, or its use, key_ops or alg forbid it",
			ErrInvalidOption, key.KeyID())
	}
	public, err := jwk.PublicKeyOf(key)
	if err != nil {
		return fmt.Errorf("%w: auth: the key %.40q: %w", ErrInvalidOption, key.KeyID(), err)
	}
	if set.Index(public) >= 0 {
		return nil
	}
	return set.AddKey(public)
}

type givenKeys struct{ set jwk.Set }

func (k givenKeys) Keys(context.Context) (jwk.Set, error) { return k.set, nil }

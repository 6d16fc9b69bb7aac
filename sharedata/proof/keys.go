package proof

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lestrrat-go/jwx/v2/jwk"

	form "github.com/safe-go/safe/internal/proof"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/sharedata"
)

// ErrUnknownKey: the caller has no key by the id.
var ErrUnknownKey = errors.New("the caller has no such key for proofs")

// ErrKey: a key cannot be registered for proofs.
var ErrKey = errors.New("the key cannot be used for proofs")

// Keys finds the keys with which callers sign their proofs.
type Keys interface {
	// ProofKey returns the caller's key by the id, which is the member "kid" of the
	// proof. It must return a key of this caller only, by Issuer and Subject: otherwise
	// one caller could prove for another. The caller is nil for a proposal without one.
	// The key is an Ed25519 or a P-256 key with this id.
	//
	// ErrUnknownKey refuses the proof. Any other error is a failure of the source, and
	// the proposal fails with a *sharedata.FunctionError. ProofKey is called from any
	// number of goroutines, while the proposal is evaluated, right before its function and
	// within its deadline (the context's): it should return at once, so keep the keys in
	// memory.
	ProofKey(ctx context.Context, caller *sharedata.Caller, keyID string) (jwk.Key, error)
}

// Registry is a Keys in memory. Its methods may be called from any number of
// goroutines.
type Registry struct {
	mu   sync.RWMutex
	keys map[owner]map[string]jwk.Key // by the key's id
}

// owner is a caller as Keys distinguishes them.
type owner struct{ issuer, subject string }

func ownerOf(caller *sharedata.Caller) owner {
	if caller == nil {
		return owner{}
	}
	return owner{caller.Issuer, caller.Subject}
}

// NewRegistry returns a Registry without keys.
func NewRegistry() *Registry { return &Registry{keys: make(map[owner]map[string]jwk.Key)} }

// Add registers a key of the subject of the issuer, which is empty for none. A caller
// may have several keys, to be able to change them; one with the same id is replaced.
// Only the public part is kept. It fails with ErrKey for a key without an id, or that
// is neither Ed25519 nor P-256.
func (r *Registry) Add(issuer, subject string, key jwk.Key) error {
	if !jose.IsFor(key, form.Algorithms[:]...) {
		return fmt.Errorf("%w: it is neither Ed25519 nor P-256, or not for signatures", ErrKey)
	}
	public, err := key.PublicKey()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrKey, err)
	case public.KeyID() == "":
		return fmt.Errorf("%w: it has no id; set its member \"kid\"", ErrKey)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	of := owner{issuer, subject}
	if r.keys[of] == nil {
		r.keys[of] = make(map[string]jwk.Key)
	}
	r.keys[of][public.KeyID()] = public
	return nil
}

// Remove forgets a key. Proofs that were accepted stay in the history.
func (r *Registry) Remove(issuer, subject, keyID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := owner{issuer, subject}
	if delete(r.keys[of], keyID); len(r.keys[of]) == 0 {
		delete(r.keys, of)
	}
}

// ProofKey implements Keys.
func (r *Registry) ProofKey(_ context.Context, caller *sharedata.Caller, keyID string) (jwk.Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	key := r.keys[ownerOf(caller)][keyID]
	if key == nil {
		return nil, ErrUnknownKey
	}
	return key, nil
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
)

// Authorities says whose tokens are accepted for which audience, and where the keys
// are that verify them. Several issuers and several audiences are independent of
// each other: an issuer that is registered for one audience is unknown under another.
type Authorities struct {
	mu      sync.RWMutex
	entries map[authorityName]authority
}

type authorityName struct{ audience, issuer string }

type authority struct {
	keys       KeySource
	algorithms []string
}

// NewAuthorities returns a registry without any authority, with which every token is
// refused.
func NewAuthorities() *Authorities {
	return &Authorities{entries: make(map[authorityName]authority)}
}

// Set registers an issuer under an audience, in place of what was registered for both
// before: from its return on, tokens are verified with the given keys only. Connections
// that are open go on; to end those whose key was compromised, revoke the issuer
// (realtime.Server.Revoke), at every process, or disconnect its callers at this one:
// only tokens of listed keys bring them back. The issuer is compared with the claim iss byte by byte. If algorithms are given, only these
// are accepted, otherwise all that the keys allow; see the package documentation. The
// error is ErrInvalidOption.
func (a *Authorities) Set(audience, issuer string, keys KeySource, algorithms ...string) error {
	if audience == "" || issuer == "" || keys == nil {
		return fmt.Errorf("%w: auth: give Authorities.Set an audience, an issuer and keys", ErrInvalidOption)
	}
	known := jose.Algorithms()
	for _, algorithm := range algorithms {
		if !slices.Contains(known, algorithm) {
			return fmt.Errorf("%w: auth: the algorithm %q; use %s", ErrInvalidOption, algorithm, strings.Join(known, ", "))
		}
	}
	if len(algorithms) == 0 {
		algorithms = known
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries[authorityName{audience, issuer}] = authority{keys: keys, algorithms: slices.Clone(algorithms)}
	return nil
}

// Remove makes an issuer unknown under an audience. Connections that are open go on, as
// with Set.
func (a *Authorities) Remove(audience, issuer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.entries, authorityName{audience, issuer})
}

func (a *Authorities) lookUp(audience, issuer string) (authority, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	found, ok := a.entries[authorityName{audience, issuer}]
	return found, ok
}

// verify returns an error unless a key of the issuer signed the message.
func (a *Authorities) verify(ctx context.Context, audience, issuer string, message *jose.Message) error {
	found, ok := a.lookUp(audience, issuer)
	if !ok {
		return invalid("the issuer %.60q is not registered for the audience %.60q", issuer, audience)
	}
	if !slices.Contains(found.algorithms, message.Header.Algorithm) {
		return invalid("%w for the issuer %.60q: %s", jose.ErrAlgorithm, issuer, message.Header.Algorithm)
	}
	keys, err := found.keys.Keys(ctx)
	if err == nil && keys == nil {
		err = errNoKeys
	}
	if err != nil {
		return fmt.Errorf("%w: issuer %.60q: %w", ErrKeysUnavailable, issuer, err)
	}
	_, err = message.Verify(keys)
	if newKeysMayHelp(err, message) {
		newer, unavailable := found.refreshKeys(ctx, keys)
		switch {
		case unavailable != nil:
			return fmt.Errorf("%w: issuer %.60q: there may be newer ones: %w", ErrKeysUnavailable, issuer, unavailable)
		case newer != nil:
			_, err = message.Verify(newer)
		}
	}
	if err != nil {
		return invalid("issuer %.60q: %w", issuer, err)
	}
	return nil
}

// newKeysMayHelp reports whether newer keys could verify a message that the known ones
// do not. A token without a kid shows only by a failed signature that its key may be
// new.
func newKeysMayHelp(err error, message *jose.Message) bool {
	return errors.Is(err, jose.ErrUnknownKey) || errors.Is(err, jose.ErrSignature) && message.Header.KeyID == ""
}

var errNoKeys = errors.New("the source of keys returned none")

// refreshKeys asks the source for a newer key set than the given one; nil if it has
// none, and an error if that cannot be said at present.
func (a authority) refreshKeys(ctx context.Context, keys jwk.Set) (jwk.Set, error) {
	refresher, can := a.keys.(Refresher)
	if !can {
		return nil, nil
	}
	newer, err := refresher.Refresh(ctx, keys)
	if err != nil || newer == keys {
		return nil, err
	}
	return newer, nil
}

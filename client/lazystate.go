package client

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// lazyState is the state at one position: a text, or a patch on the state before it.
// The text is computed when somebody needs it, on the goroutine that does, so that
// reading frames costs no more than their sizes and events that wait hold patches. It is
// safe for concurrent use.
type lazyState struct {
	// hash is the SHA-256 of the text in lower-case hexadecimal, as the server says;
	// empty where it does not say.
	hash    string
	content atomic.Pointer[stateContent]
}

// stateContent is what a lazyState holds. It is immutable.
type stateContent struct {
	// text is nil where before is set. checked: it has the hash, if there is one.
	text    json.RawMessage
	checked bool
	// before is the state to which the patch is to be applied; nil where the text is
	// known. A nil patch changes nothing.
	before *lazyState
	patch  json.RawMessage
}

func newLazyState(content *stateContent, hash string) *lazyState {
	s := &lazyState{hash: hash}
	s.content.Store(content)
	return s
}

// wholeState returns a state with that text.
func wholeState(text json.RawMessage, hash string) *lazyState {
	return newLazyState(&stateContent{text: text}, hash)
}

// patched returns the state that the patch makes of s; a nil patch changes nothing.
func (s *lazyState) patched(patch json.RawMessage, hash string) *lazyState {
	if patch == nil && (hash == "" || hash == s.hash) {
		return s
	}
	return newLazyState(&stateContent{before: s, patch: patch}, hash)
}

// stateError says why a state must not be used.
type stateError struct {
	cause error
	// received: the text is as it was received, and its hash is another.
	received bool
}

func (e *stateError) Error() string { return e.cause.Error() }

var errStateHash = errors.New("the state does not have the hash that the server says")

// resolve returns the text, or a *stateError. The text takes the place of the patch and of
// the state before.
func (s *lazyState) resolve() (json.RawMessage, error) {
	text, err := s.compute(nil, nil)
	if err == nil && s.content.Load().before != nil {
		s.content.Store(&stateContent{text: text, checked: true})
	}
	return text, err
}

// compute returns the text, or a *stateError, and keeps nothing. If known is a state
// before s, or s itself, it begins there; knownText is its text.
func (s *lazyState) compute(known *lazyState, knownText json.RawMessage) (json.RawMessage, error) {
	var pending []*lazyState // the later ones first
	var contents []*stateContent
	at, content := s, s.content.Load()
	for at != known && content.before != nil {
		pending, contents = append(pending, at), append(contents, content)
		at, content = content.before, content.before.content.Load()
	}
	text := content.text
	switch {
	case at == known:
		text = knownText
	case !content.checked:
		if !at.fits(text) {
			return nil, &stateError{cause: errStateHash, received: true}
		}
		at.content.Store(&stateContent{text: text, checked: true})
	}
	for i := len(pending) - 1; i >= 0; i-- {
		if patch := contents[i].patch; patch != nil {
			var err error
			if text, err = jsonpatch.Apply(text, patch); err != nil {
				return nil, &stateError{cause: fmt.Errorf("the patch does not fit the state: %w", err)}
			}
		}
		if !pending[i].fits(text) {
			return nil, &stateError{cause: errStateHash}
		}
	}
	return text, nil
}

// fits reports whether the text has the hash, if there is one.
func (s *lazyState) fits(text json.RawMessage) bool { return s.hash == "" || s.hash == hashOf(text) }

func hashOf(text json.RawMessage) string {
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:])
}

// provenState is the state that the last proof was for. It saves proofs the time to
// compute it again, while events that wait still hold their patches: were they to hold
// what is computed for proofs, a slow consumer would cost a state for each.
type provenState struct {
	mu    sync.Mutex // held while a state is computed
	state *lazyState
	text  json.RawMessage
	hash  string
}

// hashOf returns the hash of the state, or a *stateError.
func (p *provenState) hashOf(s *lazyState) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != s {
		text, err := s.compute(p.state, p.text)
		if err != nil {
			return "", err
		}
		p.state, p.text, p.hash = s, text, s.hash
		if p.hash == "" {
			p.hash = hashOf(text)
		}
	}
	return p.hash, nil
}

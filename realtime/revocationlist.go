package realtime

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// revocation is one revocation as the ShareData RevocationsID records it.
type revocation struct {
	revocationKey
	// At is the time of the revocation, by the clock of the process that made it.
	At time.Time `json:"at"`
}

// revocationKey says which callers a revocation matches: those that agree in every
// field that is not empty.
type revocationKey struct {
	Subject string `json:"subject,omitempty"`
	Issuer  string `json:"issuer,omitempty"`
	TokenID string `json:"tokenId,omitempty"`
}

// matches reports whether the revocation applies to a connection of the caller that was
// opened at a time; the zero time is for one that is yet to be accepted. A revocation
// with a TokenID matches that token at any time; any other matches tokens issued up to
// At, and connections opened up to At: by an issuer's clock that is ahead, their tokens
// may have been issued later.
func (r revocation) matches(caller *sharedata.Caller, openedAt time.Time) bool {
	if caller == nil ||
		r.Subject != "" && r.Subject != caller.Subject ||
		r.Issuer != "" && r.Issuer != caller.Issuer ||
		r.TokenID != "" && r.TokenID != caller.TokenID {
		return false
	}
	return r.TokenID != "" || !caller.IssuedAt.After(r.At) || !openedAt.IsZero() && !openedAt.After(r.At)
}

// maxRevocations bounds the revocations that are remembered.
const maxRevocations = 10_000

// revocationTimes are revocations by the callers that they match.
type revocationTimes map[revocationKey]time.Time

// add adds a revocation and forgets those that are older than the retention; 0
// keeps all.
func (t revocationTimes) add(r revocation, retention time.Duration) {
	if retention > 0 {
		maps.DeleteFunc(t, func(_ revocationKey, at time.Time) bool { return r.At.Sub(at) > retention })
	}
	if r.At.After(t[r.revocationKey]) {
		t[r.revocationKey] = r.At
	}
}

// revocationState is the state of the ShareData RevocationsID.
type revocationState struct {
	Revocations []revocation `json:"revocations"`
}

// revokeFunction returns the function that records a revocation.
func revokeFunction(retention time.Duration) *sharedata.Function {
	return sharedata.NewFunction("revoke", func(_ context.Context, state revocationState, r revocation) (revocationState, error) {
		times := make(revocationTimes, len(state.Revocations)+1)
		for _, old := range state.Revocations {
			times.add(old, 0)
		}
		times.add(r, retention)
		if len(times) > maxRevocations {
			return state, sharedata.Reject(fmt.Sprintf("%d revocations are remembered already; revoke subjects instead of single tokens, or shorten RevocationRetention", maxRevocations))
		}
		var next revocationState
		for _, old := range state.Revocations { // in the order in which they were made
			if at, kept := times[old.revocationKey]; kept && old.revocationKey != r.revocationKey {
				next.Revocations = append(next.Revocations, revocation{old.revocationKey, at})
			}
		}
		next.Revocations = append(next.Revocations, revocation{r.revocationKey, times[r.revocationKey]})
		return next, nil
	})
}

// revocationList is what a server knows of revocations. Its lock is a leaf; see
// channel.
type revocationList struct {
	mu    sync.RWMutex
	times revocationTimes
}

// add adds a revocation.
func (l *revocationList) add(r revocation, retention time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times == nil {
		l.times = make(revocationTimes)
	}
	l.times.add(r, retention)
}

// isRevoked reports whether a revocation matches a connection of the caller. It takes the same time
// however many revocations there are.
func (l *revocationList) isRevoked(caller *sharedata.Caller, openedAt time.Time) bool {
	if caller == nil {
		return false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.times) == 0 {
		return false
	}
	for parts := 1; parts < 8; parts++ {
		var key revocationKey
		if parts&1 != 0 {
			key.Subject = caller.Subject
		}
		if parts&2 != 0 {
			key.Issuer = caller.Issuer
		}
		if parts&4 != 0 {
			key.TokenID = caller.TokenID
		}
		if at, found := l.times[key]; found && (revocation{key, at}).matches(caller, openedAt) {
			return true
		}
	}
	return false
}

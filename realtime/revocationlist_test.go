package realtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/safe-go/safe/sharedata"
)

func revokedAt(subject string, at time.Time) revocation {
	return revocation{revocationKey{Subject: subject}, at}
}

// revokeIn runs the function on a state.
func revokeIn(t *testing.T, state revocationState, r revocation) (revocationState, error) {
	raw, err := revokeFunction(time.Hour).Run(t.Context(), state, r)
	var next revocationState
	if err == nil {
		err = json.Unmarshal(raw, &next)
	}
	return next, err
}

// What is older than the retention is forgotten, and a subject is remembered once.
func TestRevokeFunction(t *testing.T) {
	now := time.Now().UTC()
	state := revocationState{Revocations: []revocation{
		revokedAt("old", now.Add(-61*time.Minute)), revokedAt("ada", now.Add(-59*time.Minute)), revokedAt("bob", now.Add(-time.Minute)),
	}}
	state, err := revokeIn(t, state, revokedAt("ada", now))
	if err != nil || fmt.Sprint(state.Revocations) != fmt.Sprint([]revocation{revokedAt("bob", now.Add(-time.Minute)), revokedAt("ada", now)}) {
		t.Errorf("got %v, %v", state, err)
	}
}

func TestRevokeFunction_Bounded(t *testing.T) {
	now := time.Now().UTC()
	var full revocationState
	for i := range maxRevocations {
		full.Revocations = append(full.Revocations, revokedAt(fmt.Sprint(i), now.Add(-time.Minute)))
	}
	var rejection *sharedata.Rejection
	if _, err := revokeIn(t, full, revokedAt("more", now)); !errors.As(err, &rejection) {
		t.Errorf("one more than fits: %v", err)
	}
	if _, err := revokeIn(t, full, revokedAt("7", now)); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if next, err := revokeIn(t, full, revokedAt("more", now.Add(2*time.Hour))); err != nil || len(next.Revocations) != 1 {
		t.Errorf("when the others are old: %d, %v", len(next.Revocations), err)
	}
}

// The list and a revocation agree on the callers that they match.
func TestRevocationList_Covers(t *testing.T) {
	now := time.Now()
	values := []string{"", "a", "b"}
	for _, subject := range values {
		for _, issuer := range values {
			for _, token := range values {
				key := revocationKey{subject, issuer, token}
				if key == (revocationKey{}) {
					continue
				}
				r := revocation{key, now}
				var list revocationList
				list.add(r, 0)
				for _, s := range values {
					for _, i := range values {
						for _, id := range values {
							for _, age := range []time.Duration{-time.Second, 0, time.Second} {
								caller := &sharedata.Caller{Subject: s, Issuer: i, TokenID: id, IssuedAt: now.Add(-age)}
								if got, want := list.isRevoked(caller, time.Time{}), r.matches(caller, time.Time{}); got != want {
									t.Fatalf("%+v matches %+v: %v, want %v", r, caller, got, want)
								}
							}
						}
					}
				}
			}
		}
	}
}

package main

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// attempts limits how often passwords are tried: from one address, and for one username
// from wherever. Limiters are found by hashes, so that their memory is bounded however many
// addresses and names there are; a few share a limiter.
type attempts struct {
	perMinute int
	seed      maphash.Seed

	mu       sync.Mutex
	limiters [1 << 14]*rate.Limiter
}

func newAttempts(perMinute int) *attempts {
	return &attempts{perMinute: perMinute, seed: maphash.MakeSeed()}
}

// try counts an attempt, and fails if there were too many.
func (a *attempts) try(r *http.Request, username string) error {
	for _, key := range []string{"address " + network(r.RemoteAddr), "name " + username} {
		if !a.limiter(key).Allow() {
			return &requestError{http.StatusTooManyRequests, "too many attempts: wait a minute"}
		}
	}
	return nil
}

func (a *attempts) limiter(key string) *rate.Limiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	place := &a.limiters[maphash.String(a.seed, key)%uint64(len(a.limiters))]
	if *place == nil {
		*place = rate.NewLimiter(rate.Every(time.Minute/time.Duration(a.perMinute)), a.perMinute)
	}
	return *place
}

// network returns what one attacker has of addresses: an IPv4 address, or a /64 of IPv6.
func network(remote string) string {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	bits := 64
	if address.Addr().Unmap().Is4() {
		bits = 32
	}
	prefix, _ := address.Addr().Unmap().WithZone("").Prefix(bits) // both lengths are valid
	return prefix.String()
}

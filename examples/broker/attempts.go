package main

import (
	"context"
	"hash/maphash"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/time/rate"
)

// attempts limits how often passwords are tried: from one network, and for one username
// from any network. Limiters are found by hashes, so that their memory is bounded however
// many networks and names there are; a few share a limiter. All together may take about half
// of the cores, as bcrypt takes 50 ms.
type attempts struct {
	seed     maphash.Seed
	limiters [1 << 12]*rate.Limiter
	all      *rate.Limiter
}

func newAttempts(perMinute int) *attempts {
	cores := runtime.GOMAXPROCS(0)
	a := &attempts{seed: maphash.MakeSeed(), all: rate.NewLimiter(rate.Limit(10*cores), cores)}
	for i := range a.limiters {
		a.limiters[i] = rate.NewLimiter(rate.Every(time.Minute/time.Duration(perMinute)), perMinute)
	}
	return a
}

// begin counts an attempt, and waits for its turn. It fails if there are too many.
func (a *attempts) begin(ctx context.Context, remoteAddr, username string) error {
	remote, _ := netip.ParseAddrPort(remoteAddr)
	address := remote.Addr().Unmap()
	// One attacker has an IPv4 address, which has 32 bits, or a /64 of IPv6.
	network, _ := address.Prefix(min(address.BitLen(), 64))
	for _, key := range []string{"network " + network.String(), "name " + username} {
		if !a.limiters[maphash.String(a.seed, key)%uint64(len(a.limiters))].Allow() {
			return errTooManyAttempts
		}
	}
	if a.all.Wait(ctx) != nil {
		return errTooManyAttempts
	}
	return nil
}

package realtime

import (
	"net/http"
	"net/netip"
	"sync"

	"github.com/safe-go/safe/sharedata"
)

// admission counts the connections of a server, handshakes included: in all, by
// the peer's address and by the caller's subject.
type admission struct {
	options *Options

	mu        sync.Mutex
	total     int
	addresses map[netip.Prefix]int
	subjects  map[subject]int
}

// subject identifies a caller: two issuers may give different callers the same
// name.
type subject struct{ issuer, name string }

// admitted is one counted connection. It is released once.
type admitted struct {
	counts  *admission
	address netip.Prefix // the zero Prefix is not counted
	subject subject      // the zero subject is not counted
}

func newAdmission(options *Options) *admission {
	return &admission{options: options, addresses: make(map[netip.Prefix]int), subjects: make(map[subject]int)}
}

// refusedConnection says which limit was reached, for the log and the response.
type refusedConnection struct {
	status int
	option string
}

var (
	tooMany           = &refusedConnection{http.StatusServiceUnavailable, "MaxConnections"}
	tooManyForAddress = &refusedConnection{http.StatusTooManyRequests, "MaxConnectionsPerAddress"}
	tooManyForSubject = &refusedConnection{http.StatusTooManyRequests, "MaxConnectionsPerSubject"}
)

// openError says it to the application.
func (r *refusedConnection) openError() *OpenError {
	return &OpenError{Status: r.status, RetryAfter: retryAfter, Reason: "too many connections"}
}

// admit counts a connection before it is authenticated.
func (a *admission) admit(address netip.Addr) (*admitted, *refusedConnection) {
	counted := addressPrefix(address)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.total >= a.options.MaxConnections:
		return nil, tooMany
	case counted.IsValid() && a.addresses[counted] >= a.options.MaxConnectionsPerAddress:
		return nil, tooManyForAddress
	}
	a.total++
	if counted.IsValid() {
		a.addresses[counted]++
	}
	return &admitted{counts: a, address: counted}, nil
}

// addressPrefix returns what connections are counted by: an IPv4 address, or the
// /64 of an IPv6 address, since one host commonly has a whole /64 (RFC 6177). The
// loopback is not counted, as it stands for other processes of the same machine,
// such as a proxy that Options.TrustedProxies does not list.
func addressPrefix(address netip.Addr) netip.Prefix {
	if !address.IsValid() || address.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no valid address fails with these numbers of bits
	}
	return prefix
}

// countSubject counts the connection for its caller, once it is known. A caller
// without a subject is not counted. It is called once at most.
func (c *admitted) countSubject(caller *sharedata.Caller) *refusedConnection {
	if caller == nil || caller.Subject == "" {
		return nil
	}
	by, a := subject{caller.Issuer, caller.Subject}, c.counts
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.subjects[by] >= a.options.MaxConnectionsPerSubject {
		return tooManyForSubject
	}
	a.subjects[by]++
	c.subject = by
	return nil
}

// release ends the count.
func (c *admitted) release() {
	a := c.counts
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	if c.address.IsValid() {
		decrement(a.addresses, c.address)
	}
	if c.subject != (subject{}) {
		decrement(a.subjects, c.subject)
	}
}

// decrement removes a count that comes down to 0, so that the map is as large as
// what is connected.
func decrement[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// rejectOverLimit answers a request whose connection is over a limit.
func (s *Server) rejectOverLimit(w http.ResponseWriter, r *http.Request, remote string, over *refusedConnection) {
	s.log.Warn("connection refused: too many are open", "limit", "realtime.Options."+over.option, "remote", remote)
	rejectForNow(w, r, over.status, "too many connections; try again later")
}

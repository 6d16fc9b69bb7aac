package realtime

import (
	"net/http"
	"net/netip"
	"strings"
)

// remoteAddr returns the address of the peer that made the request, for logs and
// for counting. Where the request comes from a trusted proxy, the peer is the last
// one in X-Forwarded-For that is no trusted proxy: each proxy appends the address
// that it was connected from, so entries further to the left are set by the peer
// and are not trusted. The address is invalid, and not counted, where the network
// has none.
func (o *Options) remoteAddr(r *http.Request) (text string, address netip.Addr) {
	text = r.RemoteAddr
	address = parseAddr(text)
	if !o.trusts(address) {
		return text, address
	}
	hops := r.Header.Values("X-Forwarded-For")
	for i := len(hops) - 1; i >= 0; i-- {
		for rest, more := hops[i], true; more; {
			var hop string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				hop, more = rest, false
			}
			next := parseAddr(strings.TrimSpace(hop))
			if !next.IsValid() {
				return text, address // malformed entry: use the last valid address
			}
			text, address = next.String(), next
			if !o.trusts(address) {
				return text, address
			}
		}
	}
	return text, address
}

func (o *Options) trusts(address netip.Addr) bool {
	for _, prefix := range o.TrustedProxies {
		if prefix.Contains(address.WithZone("")) {
			return true
		}
	}
	return false
}

// parseAddr parses an IP address with or without a port. An IPv4 address that is
// written as an IPv6 one becomes the IPv4 address.
func parseAddr(text string) netip.Addr {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap()
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap()
}

package realtime

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func TestRemoteAddr(t *testing.T) {
	for _, test := range []struct {
		name, remote string
		forwarded    []string
		trusted      []netip.Prefix
		want, prefix string
	}{
		{name: "direct", remote: "192.0.2.1:80", want: "192.0.2.1:80", prefix: "192.0.2.1/32"},
		{name: "direct, IPv6", remote: "[2001:db8:1:2:3::4]:80", want: "[2001:db8:1:2:3::4]:80", prefix: "2001:db8:1:2::/64"},
		{name: "zone", remote: "[fe80::1%eth0]:80", want: "[fe80::1%eth0]:80", prefix: "fe80::/64"},
		{name: "IPv4 in IPv6", remote: "[::ffff:192.0.2.1]:80", want: "[::ffff:192.0.2.1]:80", prefix: "192.0.2.1/32"},
		{name: "loopback is not counted", remote: "127.0.0.1:80", want: "127.0.0.1:80"},
		{name: "loopback, IPv6", remote: "[::1]:80", want: "[::1]:80"},
		{name: "no address", remote: "pipe", want: "pipe"},
		{name: "header of an untrusted peer", remote: "192.0.2.1:80", forwarded: []string{"198.51.100.7"},
			trusted: prefixes("10.0.0.0/8"), want: "192.0.2.1:80", prefix: "192.0.2.1/32"},
		{name: "a proxy", remote: "10.0.0.1:80", forwarded: []string{"198.51.100.7"},
			trusted: prefixes("10.0.0.0/8"), want: "198.51.100.7", prefix: "198.51.100.7/32"},
		{name: "the peer's own claim", remote: "10.0.0.1:80", forwarded: []string{"203.0.113.5, 198.51.100.7"},
			trusted: prefixes("10.0.0.0/8"), want: "198.51.100.7", prefix: "198.51.100.7/32"},
		{name: "two proxies and two headers", remote: "10.0.0.1:80", forwarded: []string{"203.0.113.5,198.51.100.7", "10.0.0.2"},
			trusted: prefixes("10.0.0.0/8"), want: "198.51.100.7", prefix: "198.51.100.7/32"},
		{name: "ports", remote: "10.0.0.1:80", forwarded: []string{"[2001:db8::7]:1234"},
			trusted: prefixes("10.0.0.0/8"), want: "2001:db8::7", prefix: "2001:db8::/64"},
		{name: "brackets", remote: "10.0.0.1:80", forwarded: []string{" [2001:db8::7] "},
			trusted: prefixes("10.0.0.0/8"), want: "2001:db8::7", prefix: "2001:db8::/64"},
		{name: "nonsense before the proxy", remote: "10.0.0.1:80", forwarded: []string{"unknown"},
			trusted: prefixes("10.0.0.0/8"), want: "10.0.0.1:80", prefix: "10.0.0.1/32"},
		{name: "nonsense further left", remote: "10.0.0.1:80", forwarded: []string{"x, 198.51.100.7"},
			trusted: prefixes("10.0.0.0/8"), want: "198.51.100.7", prefix: "198.51.100.7/32"},
		{name: "no header", remote: "10.0.0.1:80", trusted: prefixes("10.0.0.0/8"), want: "10.0.0.1:80", prefix: "10.0.0.1/32"},
		{name: "only proxies", remote: "10.0.0.1:80", forwarded: []string{"10.0.0.3, 10.0.0.2"},
			trusted: prefixes("10.0.0.0/8"), want: "10.0.0.3", prefix: "10.0.0.3/32"},
		{name: "a proxy in IPv6 form", remote: "[::ffff:10.0.0.1]:80", forwarded: []string{"::ffff:198.51.100.7"},
			trusted: prefixes("::ffff:10.0.0.0/104"), want: "198.51.100.7", prefix: "198.51.100.7/32"},
	} {
		t.Run(test.name, func(t *testing.T) {
			options, err := (&Options{TrustedProxies: test.trusted}).withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
			text, address := options.remoteAddr(r)
			prefix := ""
			if p := addressPrefix(address); p.IsValid() {
				prefix = p.String()
			}
			if text != test.want || prefix != test.prefix {
				t.Errorf("got %q, counted as %q; want %q, %q", text, prefix, test.want, test.prefix)
			}
		})
	}
}

func TestAdmission_Counts(t *testing.T) {
	options, err := (&Options{MaxConnections: 3, MaxConnectionsPerAddress: 2, MaxConnectionsPerSubject: 1}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	a := newAdmission(&options)
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")
	first, over := a.admit(one)
	if over != nil {
		t.Fatal(over)
	}
	second, over := a.admit(netip.MustParseAddr("2001:db8::ffff"))
	if over != nil {
		t.Fatal(over)
	}
	if _, over := a.admit(one); over != tooManyForAddress {
		t.Errorf("a third of one /64: %v", over)
	}
	third, over := a.admit(netip.Addr{})
	if over != nil {
		t.Fatal(over)
	}
	if _, over := a.admit(two); over != tooMany {
		t.Errorf("a fourth: %v", over)
	}
	ann := &sharedata.Caller{Issuer: "i", Subject: "ann"}
	if over := first.countSubject(ann); over != nil {
		t.Error(over)
	}
	if over := second.countSubject(ann); over != tooManyForSubject {
		t.Errorf("a second of one subject: %v", over)
	}
	for _, caller := range []*sharedata.Caller{nil, {}, {Issuer: "i"}, {Issuer: "j", Subject: "ann"}} {
		if over := third.countSubject(caller); over != nil {
			t.Errorf("%+v: %v", caller, over)
		}
	}
	first.release()
	if over := second.countSubject(ann); over != nil {
		t.Error(over)
	}
	second.release()
	third.release()
	if a.total != 0 || len(a.addresses) != 0 || len(a.subjects) != 0 {
		t.Errorf("left: %d, %v, %v", a.total, a.addresses, a.subjects)
	}
}

func TestOptions_TrustedProxies(t *testing.T) {
	if _, err := NewServer(nil, &Options{TrustedProxies: []netip.Prefix{{}}}); err == nil {
		t.Error("an invalid prefix is accepted")
	}
}

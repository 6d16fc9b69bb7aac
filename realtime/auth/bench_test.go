package auth_test

import (
	"context"
	"testing"

	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/sharedata"
)

func BenchmarkAuthenticateToken(b *testing.B) {
	f := newFixture(b, nil)
	forged := f.withClaims()
	for name, token := range map[string]string{
		"RS256": f.signed("RS256", "rsa", claims()), "ES256": f.signed("ES256", "ec", claims()), "EdDSA": f.withClaims(), "HS256": f.signed("HS256", "hs", claims()),
		"forged": forged[:len(forged)-20] + "AAAAAAAAAAAAAAAAAAAA", "unknown issuer": f.withClaims("iss", `"https://evil.example"`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = f.authenticator.AuthenticateToken(context.Background(), token)
			}
		})
	}
}

func BenchmarkChannels(b *testing.B) {
	authorizer := auth.Channels(nil)
	for name, caller := range map[string]*sharedata.Caller{
		"two": withChannels(`["chat:*","news"]`), "none": {},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = authorizer.Subscribe(context.Background(), caller, "news")
			}
		})
	}
}

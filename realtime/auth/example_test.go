package auth_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/sharedata"
)

// A server accepts the tokens of one issuer, lets their owners see the channels that the
// tokens list, and lets editors change them.
func Example() {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := auth.NewKeys(public) // or auth.NewJWKS("https://id.example.com/jwks.json", nil)
	if err != nil {
		log.Fatal(err)
	}
	authorities := auth.NewAuthorities()
	if err := authorities.Set(auth.DefaultAudience, "https://id.example.com", keys); err != nil {
		log.Fatal(err)
	}
	authenticator, err := auth.NewAuthenticator(authorities, nil)
	if err != nil {
		log.Fatal(err)
	}
	channels := auth.Channels(&auth.ChannelsOptions{DenyIfEmpty: true})
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	server, err := realtime.NewServer(manager, &realtime.Options{
		Authenticate:       authenticator.Authenticate,
		AuthenticateToken:  authenticator.AuthenticateToken,
		AuthorizeSubscribe: channels.Subscribe,
		AuthorizePropose:   auth.AllOf(channels, auth.HasClaim("roles", "editor")).Propose,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	// The issuer makes a token.
	token, err := jwt.NewBuilder().Issuer("https://id.example.com").Subject("anna").Audience([]string{auth.DefaultAudience}).
		Expiration(time.Now().Add(time.Hour)).Claim("channels", []string{"chat:*"}).Claim("roles", []string{"reader"}).Build()
	if err != nil {
		log.Fatal(err)
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.EdDSA, private))
	if err != nil {
		log.Fatal(err)
	}

	// This is what the server does with it.
	request := httptest.NewRequest(http.MethodGet, "/realtime", nil)
	request.Header.Set("Authorization", "Bearer "+string(signed))
	caller, err := authenticator.Authenticate(request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(caller.Subject, string(caller.Claims))
	fmt.Println(channels.Subscribe(request.Context(), caller, "chat:lobby"))
	fmt.Println(channels.Subscribe(request.Context(), caller, "news"))
	err = auth.HasClaim("roles", "editor").Propose(request.Context(), caller, "chat:lobby", "post")
	fmt.Println(errors.Is(err, auth.ErrRefused))
	// Output:
	// anna {"channels":["chat:*"],"roles":["reader"]}
	// <nil>
	// not allowed: the caller's claim "channels" does not list the ShareData "news"
	// true
}

// Package auth authenticates the connections of package realtime by access tokens, which
// are JSON Web Tokens (RFC 7519) signed as JWS (RFC 7515), and authorizes what
// their owners ask for.
//
//	keys, err := auth.NewJWKS("https://id.example.com/jwks.json", nil)
//	defer keys.Close()
//	authorities := auth.NewAuthorities()
//	err = authorities.Set("SHAREDATA", "https://id.example.com", keys)
//	authenticator, err := auth.NewAuthenticator(authorities, nil)
//	channels := auth.Channels(&auth.ChannelsOptions{DenyIfEmpty: true})
//	server, err := realtime.NewServer(manager, &realtime.Options{
//		Authenticate:       authenticator.Authenticate,
//		AuthenticateToken:  authenticator.AuthenticateToken, // renewal over open connections
//		AuthorizeSubscribe: channels.Subscribe,
//		AuthorizePropose:   channels.Propose,
//	})
//
// # Guarantees
//
//   - A token is accepted only if a key verifies it that is registered for its issuer
//     under the configured audience, and listed at that moment. What a token says
//     about keys (jwk, jku, x5c, x5u) is ignored.
//   - Algorithms are those of the key's type: RS256 to RS512 and PS256 to PS512 for RSA of
//     2048 to 8192 bits; ES256, ES384 and ES512 for P-256, P-384 and P-521; EdDSA for
//     Ed25519; HS256, HS384 and HS512 for secrets as long as the hash (RFC 7518 section
//     3.2). Authorities.Set can allow fewer. "none" does not exist, a key's member
//     alg binds it to one algorithm, and keys for encryption verify nothing.
//   - A token must name its issuer, subject and audience and must expire, unless Options
//     say otherwise. Dates are checked
//     with a leeway, because clocks differ (RFC 7519 section 4.1.4).
//   - Tokens that readers could understand differently are refused: duplicate
//     names, invalid UTF-8, critical extensions, base64 with padding or line breaks,
//     tokens within tokens, encrypted ones, and JWS that are something else (a
//     member typ other than JWT or at+jwt, RFC 8725 section 3.11).
//   - Hostile tokens cost little: sizes and depths are bounded, the issuer is
//     looked up before any cryptography, at most four keys are tried, and a flood of
//     tokens with unknown keys causes at most one request to an issuer per
//     JWKSOptions.MinInterval.
//   - Keys rotate while the server runs. A JWKS URL is fetched again after a
//     while and when a token names a key that is not known; Authorities.Set replaces
//     the keys of an issuer. Tokens of keys that are still listed stay good. While the
//     URL is out of reach, the keys that are known serve for JWKSOptions.MaxStale;
//     as long as there are none, requests are answered with 503 (realtime.ErrUnavailable).
//   - Tokens are in no error and in no log record. This package logs nothing but
//     failures to fetch keys.
//
// # Where a token is
//
// Authenticate takes the first of: the header Authorization with the scheme Bearer (RFC
// 6750 section 2.1), the query parameter token, and the cookie that Options.Cookie
// names. Browsers cannot set the header for a WebSocket. The parameter is for them;
// net/http does not log URLs itself, but proxies and handlers for access logs do:
// they should log what RedactURL returns, and tokens in queries should be short-lived.
// A cookie is sent by a browser whatever page connects; realtime.Options.OriginPatterns
// keeps pages of other origins out.
//
// # Lifetime of a connection
//
// Caller.ExpiresAt is the moment from which the token would be refused: the claim exp
// and the leeway.
//
// # Concurrency
//
// Everything here is safe for concurrent use. Nothing has a goroutine but a JWKS while
// it fetches; its Close ends and awaits that one.
package auth

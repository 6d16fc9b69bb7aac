package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/sharedata"
)

// access says who may connect, subscribe, propose and administrate.
type access struct {
	// authenticate and authenticateToken are the hooks of the realtime server; nil
	// where everybody may connect.
	authenticate      func(*http.Request) (*sharedata.Caller, error)
	authenticateToken func(context.Context, string) (*sharedata.Caller, error)
	// authorize is for subscribes and proposals, admin for requests to the administration.
	authorize, admin auth.Authorizer
	close            func() error
}

// adminClaim is the claim that the administration requires: "admin": true.
const adminClaim = "admin"

// newAccess returns the access that the flags ask for. Without flags everybody may do
// everything; with -token, only its holders; with signed tokens, what their claims
// allow.
func newAccess(c config, logger *slog.Logger) (*access, error) {
	everybody := auth.AllOf()
	switch {
	case c.token != "" && (c.secret != "" || c.jwks != ""):
		return nil, errors.New("-token excludes -jwt-hs256 and -jwks: use one kind of tokens")
	case c.secret != "" && c.jwks != "":
		return nil, errors.New("-jwt-hs256 excludes -jwks: an issuer either shares a secret or publishes keys")
	case c.secret != "" || c.jwks != "":
		return newTokenAccess(c, logger)
	case c.requireProof:
		return nil, errors.New("-require-proof needs -jwt-hs256 or -jwks: the key of a proposer is in the token")
	case c.token != "":
		return &access{authenticate: authenticateStatic(c.token), authorize: everybody, admin: everybody, close: noClose}, nil
	}
	return &access{authorize: everybody, admin: everybody, close: noClose}, nil
}

func noClose() error { return nil }

// newTokenAccess returns access by signed tokens (RFC 7519).
func newTokenAccess(c config, logger *slog.Logger) (*access, error) {
	keys, closeKeys, err := openKeys(c, logger)
	if err != nil {
		return nil, err
	}
	authorities := auth.NewAuthorities()
	if err := authorities.Set(c.audience, c.issuer, keys); err != nil {
		return nil, err
	}
	authenticator, err := auth.NewAuthenticator(authorities, &auth.Options{Audience: c.audience})
	if err != nil {
		return nil, err
	}
	return &access{
		authenticate:      authenticator.Authenticate,
		authenticateToken: authenticator.AuthenticateToken,
		authorize:         auth.Channels(&auth.ChannelsOptions{Claim: c.channelsClaim}),
		admin:             auth.HasClaim(adminClaim, true),
		close:             closeKeys,
	}, nil
}

// openKeys returns the keys that verify signed tokens, and the function that closes
// their source.
func openKeys(c config, logger *slog.Logger) (keys auth.KeySource, closeKeys func() error, err error) {
	if c.jwks != "" {
		if _, err := os.Stat(c.jwks); !strings.Contains(c.jwks, "://") && err != nil {
			return nil, nil, fmt.Errorf("-jwks: %w", err) // rather than at the first token
		}
		jwks, err := auth.NewJWKS(c.jwks, &auth.JWKSOptions{Logger: logger})
		if err != nil {
			return nil, nil, fmt.Errorf("-jwks: %w", err)
		}
		return jwks, jwks.Close, nil
	}
	secret, err := readSecret(c.secret)
	if err != nil {
		return nil, nil, err
	}
	keys, err = auth.NewKeys(secret)
	if err != nil {
		return nil, nil, fmt.Errorf("-jwt-hs256: %w", err)
	}
	return keys, noClose, nil
}

// minSecretBytes is the length of the shortest secret of HS256 (RFC 7518 section 3.2): a
// shorter secret can be brute-forced from one token.
const minSecretBytes = 32

// readSecret returns a secret, or that in the file if it is written @FILE: other users
// of a machine can see the arguments of a process.
func readSecret(secret string) ([]byte, error) {
	value := []byte(secret)
	if name, isFile := strings.CutPrefix(secret, "@"); isFile {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("-jwt-hs256: %w", err)
		}
		value = []byte(strings.TrimSpace(string(text)))
	}
	if len(value) < minSecretBytes {
		return nil, fmt.Errorf("-jwt-hs256: the secret has %d bytes; use at least %d, for example those of: openssl rand -base64 32",
			len(value), minSecretBytes)
	}
	return value, nil
}

var errBadToken = errors.New("the token is missing or wrong")

// authenticateStatic accepts requests that carry the token. The Authorization header
// has precedence over ?token=, which is for browsers: they cannot set headers on a
// WebSocket.
func authenticateStatic(token string) func(*http.Request) (*sharedata.Caller, error) {
	return func(r *http.Request) (*sharedata.Caller, error) {
		given := r.URL.Query().Get("token")
		if scheme, credentials, found := strings.Cut(r.Header.Get("Authorization"), " "); found && strings.EqualFold(scheme, "Bearer") {
			given = strings.TrimSpace(credentials)
		}
		if subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			return nil, errBadToken
		}
		return &sharedata.Caller{}, nil
	}
}

// requireAdmin calls next only for callers that admin allows, and passes the caller on
// so that the history records it.
func (a *access) requireAdmin(server *realtime.Server, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := server.Authenticate(r)
		switch {
		case errors.Is(err, realtime.ErrUnavailable):
			writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "tokens cannot be checked at the moment"})
			return
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": errBadToken.Error()})
			return
		}
		if err := a.admin(r.Context(), caller, auth.Request{}); err != nil {
			writeJSON(w, http.StatusForbidden, map[string]string{"error": "the token has no claim \"" + adminClaim + "\": true"})
			return
		}
		next.ServeHTTP(w, r.WithContext(sharedata.WithCaller(r.Context(), caller)))
	})
}

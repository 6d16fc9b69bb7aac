package main

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/safe-go/safe/sharedata"
)

var errBadToken = errors.New("the token is missing or wrong")

// authenticate accepts requests that carry the token.
func authenticate(token string) func(*http.Request) (*sharedata.Caller, error) {
	return func(r *http.Request) (*sharedata.Caller, error) {
		if !hasToken(r, token) {
			return nil, errBadToken
		}
		return &sharedata.Caller{}, nil
	}
}

// hasToken reports whether a request carries the token; an empty token admits
// every request. The Authorization header has precedence over ?token=, which is
// for browsers: they cannot set headers on a WebSocket.
func hasToken(r *http.Request, token string) bool {
	if token == "" {
		return true
	}
	given := r.URL.Query().Get("token")
	if scheme, credentials, found := strings.Cut(r.Header.Get("Authorization"), " "); found && strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(credentials)
	}
	return subtle.ConstantTimeCompare([]byte(given), []byte(token)) == 1
}

func requireToken(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hasToken(r, token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": errBadToken.Error()})
			return
		}
		next.ServeHTTP(w, r)
	})
}

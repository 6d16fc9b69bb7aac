package main

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/safe-go/safe/sharedata"
)

var errBadToken = errors.New("the token is missing or wrong")

// authenticate admits who bears the token.
func authenticate(token string) func(*http.Request) (*sharedata.Caller, error) {
	return func(r *http.Request) (*sharedata.Caller, error) {
		if !bears(r, token) {
			return nil, errBadToken
		}
		return &sharedata.Caller{}, nil
	}
}

// bears reports whether a request bears the token; every one does if none is
// wanted. The Authorization header is looked at first, then ?token=, which is
// for browsers: they cannot set headers on a WebSocket.
func bears(r *http.Request, token string) bool {
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
		if !bears(r, token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": errBadToken.Error()})
			return
		}
		next.ServeHTTP(w, r)
	})
}

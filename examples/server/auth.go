package main

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/safe-go/safe/sharedata"
)

var errBadToken = errors.New("the token is missing or wrong")

// authenticate admits everybody where no token is wanted, and otherwise who
// bears it.
func authenticate(token string) func(*http.Request) (*sharedata.Caller, error) {
	return func(r *http.Request) (*sharedata.Caller, error) {
		if token != "" && !bears(r, token) {
			return nil, errBadToken
		}
		return &sharedata.Caller{}, nil
	}
}

// bears looks at the Authorization header first, then at ?token=, which is for
// browsers: they cannot set headers on a WebSocket.
func bears(r *http.Request, token string) bool {
	given := r.URL.Query().Get("token")
	if scheme, credentials, found := strings.Cut(r.Header.Get("Authorization"), " "); found && strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(credentials)
	}
	return subtle.ConstantTimeCompare([]byte(given), []byte(token)) == 1
}

func requireToken(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" && !bears(r, token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": errBadToken.Error()})
			return
		}
		next.ServeHTTP(w, r)
	})
}

package main

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwt"
	"golang.org/x/crypto/bcrypt"

	"github.com/safe-go/safe/sharedata"
)

var (
	errCredentials      = &requestError{http.StatusUnauthorized, "username or password is wrong"}
	errNotAuthenticated = &requestError{http.StatusUnauthorized, "log in, and send the header Authorization: Bearer with the jwt"}
	errTooManyAttempts  = &requestError{http.StatusTooManyRequests, "too many attempts: wait a minute"}
)

// createUser serves POST /users. The creation of the account decides to whom the name belongs.
func (b *broker) createUser(r *request) (any, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(r.input.Password), b.config.bcryptCost)
	if err != nil {
		return nil, err
	}
	a := account{ID: newUUID(), Hash: hash, CollectionID: r.input.CollectionID}
	_, err = b.manager.CreateKind(r.Context(), accountPrefix+r.input.Username, accountKind, a)
	if errors.Is(err, sharedata.ErrExists) {
		return nil, &requestError{http.StatusBadRequest, "username already taken"}
	}
	return map[string]string{"id": a.ID}, err
}

// login serves POST /login. The first login of an account creates the user.
func (b *broker) login(r *request) (any, error) {
	a, err := load[account](r.Context(), b.manager, accountPrefix+r.input.Username, errCredentials)
	if err != nil {
		return nil, err
	}
	if bcrypt.CompareHashAndPassword(a.Hash, []byte(r.input.Password)) != nil {
		return nil, errCredentials
	}
	u := user{CollectionID: a.CollectionID, Inserted: []string{}}
	if _, err := b.manager.EnsureKind(r.Context(), userPrefix+a.ID, userKind, u); err != nil {
		return nil, err
	}
	expires := time.Now().Add(time.Duration(b.config.expiry) * time.Second)
	token, err := jwt.NewBuilder().Issuer(issuer).Subject(a.ID).Expiration(expires).Build()
	if err != nil {
		return nil, err
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.HS256, b.tokenKey))
	return map[string]string{"jwt": string(signed)}, err
}

// check checks the credentials of a request, then its fields. Where it has a password, the
// endpoint is for everybody, and needs no token.
func (b *broker) check(r *request, fields []string) (err error) {
	hasPassword := slices.Contains(fields, "password")
	if !hasPassword {
		token, err := jwt.ParseHeader(r.Header, "Authorization", jwt.WithKey(jwa.HS256, b.tokenKey), jwt.WithIssuer(issuer))
		if err != nil {
			return errNotAuthenticated
		}
		r.userID = token.Subject()
	}
	if r.input, err = decode(r.Body, fields); err == nil && hasPassword {
		err = b.attempts.begin(r.Context(), r.RemoteAddr, r.input.Username)
	}
	return err
}

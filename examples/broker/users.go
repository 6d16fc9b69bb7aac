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

// createUser serves POST /users.
func (b *broker) createUser(r *request) (any, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(r.input.Password), b.config.bcryptCost)
	if err != nil {
		return nil, err
	}
	u := user{newUUID(), r.input.Username, hash, r.input.CollectionID, []string{}}
	_, err = b.manager.CreateKind(r.Context(), userPrefix+u.Name, userKind, u)
	if errors.Is(err, sharedata.ErrExists) {
		return nil, &requestError{http.StatusBadRequest, "username already taken"}
	}
	return map[string]string{"id": u.ID}, err
}

// login serves POST /login.
func (b *broker) login(r *request) (any, error) {
	u, err := load[user](r.Context(), b.manager, userPrefix+r.input.Username, errCredentials)
	if err != nil {
		return nil, err
	}
	if bcrypt.CompareHashAndPassword(u.Hash, []byte(r.input.Password)) != nil {
		return nil, errCredentials
	}
	expires := time.Now().Add(time.Duration(b.config.expiry) * time.Second)
	token, err := jwt.NewBuilder().Issuer(issuer).Subject(u.Name).Expiration(expires).Build()
	if err != nil {
		return nil, err
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.HS256, b.tokenKey))
	return map[string]string{"jwt": string(signed)}, err
}

// check checks the credentials of a request, then its fields. Where it has a password, the
// endpoint is for everybody, and needs no token.
func (b *broker) check(r *request, fields []string) (err error) {
	if slices.Contains(fields, "password") {
		if r.input, err = decode(r.Body, fields); err == nil {
			err = b.attempts.begin(r.Context(), r.RemoteAddr, r.input.Username)
		}
		return err
	}
	token, err := jwt.ParseHeader(r.Header, "Authorization", jwt.WithKey(jwa.HS256, b.tokenKey), jwt.WithIssuer(issuer))
	if err != nil {
		return errNotAuthenticated
	}
	if r.user, err = load[user](r.Context(), b.manager, userPrefix+token.Subject(), errNotAuthenticated); err == nil {
		r.input, err = decode(r.Body, fields)
	}
	return err
}

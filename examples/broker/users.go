package main

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/crypto/bcrypt"

	"github.com/safe-go/safe/sharedata"
)

var (
	errNameTaken   = badRequest("username already taken")
	errCredentials = &requestError{http.StatusUnauthorized, "username or password is wrong"}
)

// createUser serves POST /users. The user is created before the name is taken, so that who
// has a name is complete; where the name is taken meanwhile, nothing refers to the user.
func (b *broker) createUser(r *http.Request, body []byte) (any, error) {
	c, err := parseUser(body)
	if err != nil {
		return nil, err
	}
	if err := b.attempts.try(r, c.Username); err != nil {
		return nil, err
	}
	if _, err := b.manager.Get(r.Context(), accountPrefix+c.Username); err == nil {
		return nil, errNameTaken
	}
	a := account{ID: newUUID()}
	err = b.hash(r.Context(), func() (err error) {
		a.Hash, err = bcrypt.GenerateFromPassword([]byte(c.Password), b.config.bcryptCost)
		return err
	})
	if err == nil {
		_, err = b.manager.CreateKind(r.Context(), userPrefix+a.ID, userKind, user{CollectionID: c.CollectionID, Inserted: []string{}})
	}
	if err == nil {
		_, err = b.manager.CreateKind(r.Context(), accountPrefix+c.Username, accountKind, a)
	}
	if errors.Is(err, sharedata.ErrExists) {
		return nil, errNameTaken
	}
	return map[string]string{"id": a.ID}, err
}

// login serves POST /login.
func (b *broker) login(r *http.Request, body []byte) (any, error) {
	c, err := parseLogin(body)
	if err != nil {
		return nil, err
	}
	if err := b.attempts.try(r, c.Username); err != nil {
		return nil, err
	}
	snapshot, err := b.manager.Get(r.Context(), accountPrefix+c.Username)
	if errors.Is(err, sharedata.ErrUnknownShareData) {
		return nil, errCredentials
	}
	if err != nil {
		return nil, err
	}
	a, err := sharedata.Decode[account](snapshot.State)
	if err == nil {
		err = b.hash(r.Context(), func() error { return bcrypt.CompareHashAndPassword(a.Hash, []byte(c.Password)) })
	}
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return nil, errCredentials
	}
	if err != nil {
		return nil, err
	}
	token, err := b.newToken(a.ID)
	return map[string]string{"jwt": token}, err
}

// hash calls f, which takes a core for a while, when one is free.
func (b *broker) hash(ctx context.Context, f func() error) error {
	select {
	case b.hashing <- struct{}{}:
		defer func() { <-b.hashing }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}

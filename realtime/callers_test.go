package realtime_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// callers authenticate by the names of tokens.
type callers struct {
	mu     sync.Mutex
	tokens map[string]*sharedata.Caller
}

// issue makes a token of that name for a subject.
func (c *callers) issue(token, subject string, expiresIn time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens == nil {
		c.tokens = make(map[string]*sharedata.Caller)
	}
	caller := &sharedata.Caller{Subject: subject, Issuer: "tests", TokenID: token, IssuedAt: time.Now()}
	if expiresIn != 0 {
		caller.ExpiresAt = time.Now().Add(expiresIn)
	}
	c.tokens[token] = caller
}

func (c *callers) authenticateToken(_ context.Context, token string) (*sharedata.Caller, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if caller := c.tokens[token]; caller != nil {
		return caller, nil
	}
	return nil, errors.New("no such token: " + token)
}

func (c *callers) authenticate(r *http.Request) (*sharedata.Caller, error) {
	return c.authenticateToken(r.Context(), r.Header.Get("Authorization"))
}

// dialToken connects with a token.
func (ts *testServer) dialToken(token string) *peer {
	ts.Helper()
	conn, response, err := ts.tryDial(http.Header{"Authorization": {token}})
	if err != nil {
		ts.Fatal(err, response)
	}
	return &peer{T: ts.T, conn: conn}
}

// wantStatus checks that a connection with a token is refused.
func (ts *testServer) wantStatus(token string, status int) {
	ts.Helper()
	_, response, err := ts.tryDial(http.Header{"Authorization": {token}})
	if err == nil || response == nil || response.StatusCode != status {
		ts.Fatalf("connected with %q: %v, %v; want status %d", token, response, err, status)
	}
}

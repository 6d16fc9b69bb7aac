package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// This file renews the token of a connection before it expires, so that the
// connection need not end:
//
//	client                          server
//	ping, tokenExpiry       ->
//	                        <-      pong, tokenExpiresInMs
//	authenticate, token     ->      when 60 to 80 % of that time has passed
//	                        <-      authenticated, tokenExpiresInMs
//
// A server that answers with a plain pong does not renew tokens. It ends the
// connection with close code 4002 when the token has expired, and the client
// reconnects with a token from the source. The same happens where no renewal has
// succeeded in time.

const (
	// A token is renewed when a random share of the time that is left has passed.
	// After a failure the next attempt is made by the same rule, so that attempts
	// come closer together until the token expires. The share is random so that the
	// clients of one server do not renew their tokens at the same time.
	minRenewalShare = 0.6
	maxRenewalShare = 0.8
	// minRenewalDelay is the shortest time before an attempt, whatever the server
	// says. There is no attempt where less time is left.
	minRenewalDelay = 100 * time.Millisecond
	// minExpiryPingDelay is the shortest time before the ping that asks for the
	// expiry is repeated, where the server cannot answer it now.
	minExpiryPingDelay = 10 * time.Second
	// longestExpiry bounds what the server says, so that it can be computed with.
	longestExpiry = 365 * 24 * time.Hour
	// maxTokenLength is what an authenticate frame has room for, in characters.
	maxTokenLength = 16384
)

// errNoNewToken is not a failure: the source has no other token yet.
var errNoNewToken = errors.New("the token source returned the present token")

// renewalDelay returns the time before the next attempt to renew a token that
// expires when left has passed, and false if there is no time for one.
func renewalDelay(left, atLeast time.Duration) (time.Duration, bool) {
	share := minRenewalShare + rand.Float64()*(maxRenewalShare-minRenewalShare)
	delay := max(time.Duration(share*float64(left)), minRenewalDelay, atLeast)
	return delay, delay < left
}

// authentication is an authenticate frame that the server has not answered.
type authentication struct {
	id    string
	size  int                      // of the frame, in bytes
	reply chan authenticationReply // has room for one
}

// authenticationReply says when the new token expires, the zero time for never, or
// why the server refused it.
type authenticationReply struct {
	expiresAt time.Time
	refusal   *ServerError
}

// askExpiryLocked sends the ping that asks when the token expires.
func (conn *connection) askExpiryLocked() {
	conn.expiryPing, conn.expiryPingAt = conn.client.correlationID(), time.Time{}
	conn.sendLocked((&wire.Ping{CorrelationID: conn.expiryPing, TokenExpiry: true}).AppendTo(nil), nil)
}

// handleExpiryPongLocked handles the reply to the expiry ping: it starts to renew the
// tokens of the connection, if the reply says when the token expires. The reader calls
// it, so serve does not wait for helpers yet.
func (conn *connection) handleExpiryPongLocked(frame *wire.Pong, now time.Time) {
	conn.expiryPing = ""
	if frame.HasTokenExpiresIn {
		expiresAt := expiryAfter(frame.TokenExpiresInMs, now)
		conn.helpers.Go(func() { conn.renewTokens(expiresAt) })
	}
}

func expiryAfter(ms uint64, now time.Time) time.Time {
	most := uint64(longestExpiry / time.Millisecond)
	return now.Add(time.Duration(min(ms, most)) * time.Millisecond)
}

// handleAuthenticatedLocked handles the acceptance of a new token.
func (conn *connection) handleAuthenticatedLocked(frame *wire.Authenticated, now time.Time) {
	pending := conn.authentication
	if pending == nil || pending.id != frame.CorrelationID {
		conn.client.log.Debug("ignored the reply to an unknown authenticate", "correlationId", frame.CorrelationID)
		return
	}
	conn.authentication = nil
	var reply authenticationReply
	if frame.HasTokenExpiresIn {
		reply.expiresAt = expiryAfter(frame.TokenExpiresInMs, now)
	}
	pending.reply <- reply
}

// handleRenewalErrorLocked handles an error frame that replies to the expiry ping or
// to an authenticate. It returns false for any other error frame.
func (conn *connection) handleRenewalErrorLocked(frame *wire.Error, now time.Time) bool {
	pending := conn.authentication
	switch {
	case frame.CorrelationID == "":
		return false
	case frame.CorrelationID == conn.expiryPing:
		conn.expiryPing = ""
		if isTemporary(frame.Code) {
			conn.expiryPingAt = now.Add(max(retryAfter(frame.RetryAfterMs), minExpiryPingDelay))
			conn.sendDueLocked(now)
		}
		return true
	case pending != nil && frame.CorrelationID == pending.id:
		conn.authentication = nil
		pending.reply <- authenticationReply{refusal: serverError(*frame)}
		return true
	}
	return false
}

// renewTokens renews the token of the connection again and again. It ends with the
// connection, and where the token does not expire or cannot be renewed in time.
func (conn *connection) renewTokens(expiresAt time.Time) {
	c := conn.client
	var pause time.Duration // that the server asks for
	for !expiresAt.IsZero() {
		delay, ok := renewalDelay(time.Until(expiresAt), pause)
		if !ok || !conn.sleep(delay) {
			return
		}
		next, err := conn.renewToken(expiresAt)
		var refusal *ServerError
		pause = 0
		switch {
		case err == nil:
			c.log.Debug("renewed the token")
			expiresAt = next
			continue
		case conn.ctx.Err() != nil:
			return
		case errors.Is(err, errNoNewToken):
			c.log.Debug("the token expires, and its source has no other yet", "expiresAt", expiresAt)
			continue
		case isPermanent(err):
			c.log.Error("the token cannot be renewed; the client stops when the connection ends", "cause", err)
			return
		case errors.As(err, &refusal):
			pause = refusal.RetryAfter
		}
		c.log.Warn("could not renew the token", "cause", err, "expiresAt", expiresAt)
	}
}

// sleep waits for the delay. It returns false if the connection ends.
func (conn *connection) sleep(delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-conn.ctx.Done():
		return false
	}
}

// renewToken makes one attempt, and returns when the new token expires, the zero
// time for never.
func (conn *connection) renewToken(expiresAt time.Time) (time.Time, error) {
	c := conn.client
	ctx, cancel := context.WithDeadline(conn.ctx, expiresAt)
	defer cancel()
	if timeout := c.options.ConnectTimeout; timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	token, err := c.askToken(withExpiringToken(ctx, c.token, expiresAt))
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("token source: %w", err)
	case token == "" || token == c.token:
		return time.Time{}, errNoNewToken
	case utf8.RuneCountInString(token) > maxTokenLength || !utf8.ValidString(token):
		return time.Time{}, fmt.Errorf("the new token is not UTF-8 or longer than %d characters, so that only a new connection can bring it", maxTokenLength)
	}
	pending := conn.authenticate(token)
	select {
	case reply := <-pending.reply:
		if reply.refusal != nil {
			reply.refusal.Message = redact(reply.refusal.Message, token)
			conn.renewalFailed(token, reply.refusal)
			return time.Time{}, reply.refusal
		}
		c.token, c.rejected = token, nil
		return reply.expiresAt, nil
	case <-ctx.Done():
		return time.Time{}, errors.New("the server did not answer the authenticate in time")
	}
}

// authenticate sends a new token. After the client has stopped it sends nothing:
// the connection is about to end.
func (conn *connection) authenticate(token string) *authentication {
	c := conn.client
	frame := &wire.Authenticate{CorrelationID: c.correlationID(), Token: token}
	encoded := frame.AppendTo(nil)
	pending := &authentication{id: frame.CorrelationID, size: len(encoded), reply: make(chan authenticationReply, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn && c.stopErr == nil {
		conn.authentication = pending
		conn.sendLocked(encoded, nil)
	}
	return pending
}

// renewalFailed records that the server refused a new token.
func (conn *connection) renewalFailed(token string, refusal *ServerError) {
	c := conn.client
	if refusal.Code == codes.InvalidToken {
		c.rejected = &token
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn && c.stopErr == nil {
		c.status.add(Status{State: Open, Err: refusal})
	}
}

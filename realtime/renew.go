package realtime

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// This file replaces the caller of a session in band: an authenticate frame brings
// a new token. One is processed at a time, on a goroutine of its own.

// renewTimeout bounds the context of Options.AuthenticateToken.
const renewTimeout = 10 * time.Second

// renewInterval is the least time between two renewals of one connection: each may
// cost a signature, and AuthorizeSubscribe for every subscription.
const renewInterval = 250 * time.Millisecond

// pong answers a ping.
func (s *session) pong(m *wire.Ping) {
	pong := &wire.Pong{CorrelationID: m.CorrelationID}
	if m.TokenExpiry && s.server.options.AuthenticateToken != nil {
		pong.TokenExpiresInMs, pong.HasTokenExpiresIn = s.server.expiresIn(s.caller())
	}
	s.sendFromReader(encode(pong))
}

// expiresIn returns the milliseconds until a caller expires, if it does.
func (s *Server) expiresIn(caller *sharedata.Caller) (milliseconds uint64, expires bool) {
	at := s.expiry(caller)
	if at.IsZero() {
		return 0, false
	}
	return uint64(max(time.Until(at).Milliseconds(), 0)), true
}

// renew begins to process an authenticate frame.
func (s *session) renew(m *wire.Authenticate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining || s.closing:
		return // the peer is about to be sent the close frame
	case s.server.options.AuthenticateToken == nil:
		s.refuseRenewal(m, "this server renews no tokens; reconnect with the new one")
		return
	case s.renewing, time.Since(s.renewedAt) < renewInterval:
		s.replyRetryLater(m, codes.RateLimited, "another token is being checked, or was a moment ago; send it again later", renewInterval)
		return
	}
	s.renewing = s.server.spawn(s, func() {
		defer s.finishRenewal()
		s.processAuthenticate(m)
	})
}

func (s *session) finishRenewal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewing, s.renewedAt = false, time.Now()
}

func (s *session) refuseRenewal(m *wire.Authenticate, why string) {
	s.out.send(encodeError(&wire.Error{Code: codes.InvalidToken, Message: why, CorrelationID: m.CorrelationID}))
}

// replyRetryLater asks the peer to send its token again after a time.
func (s *session) replyRetryLater(m *wire.Authenticate, code, why string, after time.Duration) {
	s.out.send(encodeError(&wire.Error{
		Code: code, Message: why, CorrelationID: m.CorrelationID, RetryAfterMs: uint64(after / time.Millisecond),
	}))
}

// processAuthenticate replaces the caller if the token is good, and replies. Then it
// rechecks the subscriptions, since the new token may allow less.
func (s *session) processAuthenticate(m *wire.Authenticate) {
	caller, err := s.callerOf(m.Token)
	if err == nil {
		err = s.replaceCaller(caller)
	}
	switch {
	case errors.Is(err, ErrUnavailable):
		s.server.log.Debug("token not renewed", "connection", s.name, "error", err)
		s.replyRetryLater(m, codes.Unavailable, "the token cannot be checked at the moment; send it again later", retryAfterUnavailable)
		return
	case err != nil:
		s.server.log.Debug("token not renewed", "connection", s.name, "error", err)
		s.refuseRenewal(m, "the token was refused; the connection goes on with the present one until that expires")
		return
	}
	reply := &wire.Authenticated{CorrelationID: m.CorrelationID}
	reply.TokenExpiresInMs, reply.HasTokenExpiresIn = s.server.expiresIn(caller)
	s.out.send(encode(reply))
	s.reauthorize()
}

// callerOf asks the application who the token is for. A hook that panics refuses.
func (s *session) callerOf(token string) (caller *sharedata.Caller, err error) {
	ctx, cancel := context.WithTimeout(s.currentCaller.Load().connCtx, renewTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			s.server.log.Error("AuthenticateToken panicked", "connection", s.name, "panic", value, "stack", string(debug.Stack()))
			caller, err = nil, errHookPanicked
		}
	}()
	caller, err = s.server.options.AuthenticateToken(ctx, token)
	switch {
	case err != nil:
		return nil, err
	case caller == nil:
		return nil, errNoCaller
	}
	return caller, ctx.Err()
}

var (
	errOtherIdentity = errors.New("the token is for another subject or of another issuer")
	errExpiredToken  = fmt.Errorf("%w: the token has expired", ErrExpired)
	errRevokedToken  = fmt.Errorf("%w: the token was revoked", ErrExpired)
	errSessionEnded  = errors.New("the connection is closing")
)

// replaceCaller makes the caller of a new token the session's.
func (s *session) replaceCaller(caller *sharedata.Caller) error {
	if present := s.caller(); present == nil || !sameIdentity(present, caller) {
		return errOtherIdentity
	}
	return s.identify(caller)
}

func sameIdentity(a, b *sharedata.Caller) bool { return a.Issuer == b.Issuer && a.Subject == b.Subject }

// identify makes a caller the session's: the first one, or the same with a new token.
func (s *session) identify(caller *sharedata.Caller) error {
	switch {
	case s.server.isExpired(caller):
		return errExpiredToken
	case s.server.revocations.isRevoked(caller, time.Time{}):
		return errRevokedToken
	}
	s.mu.Lock()
	if err := s.admitCallerLocked(caller); err != nil {
		s.mu.Unlock()
		return err
	}
	s.setCaller(caller)
	s.callerChanges.Add(1)
	s.server.expiries.set(&s.expiryAlarm, s.server.expiry(caller))
	s.mu.Unlock()
	if s.server.revocations.isRevoked(caller, s.info.OpenedAt) { // since it was checked
		s.closeUnauthorized(reasonRevoked)
		return errRevokedToken
	}
	return nil
}

// admitCallerLocked returns an error where the caller cannot be the session's, and counts
// its first one.
func (s *session) admitCallerLocked(caller *sharedata.Caller) error {
	present := s.caller()
	switch {
	case s.closing:
		return errSessionEnded
	case present != nil && !sameIdentity(present, caller):
		return errOtherIdentity
	case present != nil:
		return nil
	}
	if over := s.admitted.countSubject(caller); over != nil {
		return over.openError()
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// issuer stands for the party that has the secret: tokens do not name it.
const issuer = "turbine"

// channelsClaim lists the channels that a client may subscribe to: all, if it is empty.
const channelsClaim = "channels"

func newAuthenticator(c config) (*auth.Authenticator, error) {
	key := []byte(c.secret)
	if c.dev && c.secret == devSecret {
		// HMAC fills keys with zeros (RFC 2104 section 2), so this one verifies the same
		// tokens and is as long as others have to be (RFC 7518 section 3.2).
		key = append(key, make([]byte, 32-len(key))...)
	}
	keys, err := auth.NewKeys(key)
	if err != nil {
		return nil, fmt.Errorf("%s: use at least 32 bytes, as openssl rand -base64 32 prints: %w", secretVariable, err)
	}
	authorities := auth.NewAuthorities()
	if err := authorities.Set(auth.DefaultAudience, issuer, keys, "HS256"); err != nil {
		return nil, err
	}
	return auth.NewAuthenticator(authorities, &auth.Options{
		DefaultIssuer: issuer, AllowNoAudience: true, RecordedClaims: []string{channelsClaim},
	})
}

// connect makes the owner of a token the caller of a session. The Value of the caller is the
// list of channels.
func (n *node) connect(session *realtime.Session, token string) error {
	caller, err := n.authenticator.AuthenticateToken(context.Background(), token) // which does not wait for given keys
	if err != nil {
		return err
	}
	channels, _, err := auth.Claim[[]string](caller, channelsClaim)
	if err != nil || channels == nil {
		return errors.New("the claim channels is missing, or no list of strings")
	}
	caller.Value = channels
	return session.SetCaller(caller)
}

// authorizeSubscribe is the hook of the server. It creates a channel that a client is the
// first to use.
func (n *node) authorizeSubscribe(ctx context.Context, caller *sharedata.Caller, id string) error {
	channel := channelOf(id)
	if channels, ok := caller.Value.([]string); !ok || len(channels) > 0 && !slices.Contains(channels, channel) {
		return &realtime.Refusal{Message: "forbidden"}
	}
	if err := n.ensureChannel(ctx, channel); err != nil {
		n.logger.Warn("a channel cannot be used", "channel", channel, "error", err)
		return &realtime.Refusal{Code: codes.Unavailable, Message: "the channel cannot be used at the moment; subscribe again later"}
	}
	return nil
}

// newDevToken returns a token for every channel, signed with devSecret.
func newDevToken(expires time.Time) string {
	claims := fmt.Appendf(nil, `{"sub":"user-123","exp":%d,%q:[]}`, expires.Unix(), channelsClaim)
	token, _ := jws.Sign(claims, jws.WithKey(jwa.HS256, []byte(devSecret))) // fails only for other keys
	return string(token)
}

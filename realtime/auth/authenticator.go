package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/internal/option"
	"github.com/safe-go/safe/sharedata"
)

// DefaultAudience is the audience that tokens must be for, if Options names no other.
const DefaultAudience = "SHAREDATA"

// Options configures an Authenticator. Nil or the zero value is good. For numbers and
// durations 0 is the default and -1 switches the limit off; any other negative number is
// an error of NewAuthenticator.
type Options struct {
	// Audience is what the claim aud of a token must contain, and under which its issuer
	// must be registered. Default: DefaultAudience.
	Audience string
	// Leeway is by how much the clocks of issuer and server may differ: a token is
	// accepted this long after exp, and this long before nbf and iat. Default: 5 s. -1:
	// none.
	Leeway time.Duration
	// MaxTokenBytes is the size of the longest token that is accepted. Default: 8 KiB.
	// -1: 16 KiB, which is the upper limit.
	MaxTokenBytes int

	// Cookie is the name of the cookie that a token may be in. Default: no cookie is
	// read.
	Cookie string
	// DisableQueryToken ignores the query parameter token. Default: it is read.
	DisableQueryToken bool
	// DefaultIssuer is the issuer of tokens without the claim iss, which must be
	// registered. Default: they are refused.
	DefaultIssuer string
	// AllowNoAudience accepts tokens without the claim aud: a token of the issuer for
	// another service is good here too. Default: they are refused.
	AllowNoAudience bool
	// AllowNoExpiry accepts tokens without the claim exp: their connections end only by
	// realtime.Server.Revoke or Disconnect. Default: they are refused.
	AllowNoExpiry bool

	// RecordedClaims are the names of the claims that Caller.Claims has, if a token has
	// them. Claims are recorded with every proposal, so list what authorizers and
	// readers of the history need. Default (nil): all; empty: none. Never among them
	// are iss, sub and aud, which have fields of their own, and jti, exp, nbf and iat,
	// which differ from token to token.
	RecordedClaims []string
}

const (
	defaultLeeway        = 5 * time.Second
	defaultMaxTokenBytes = 8 << 10
)

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Audience == "" {
		c.Audience = DefaultAudience
	}
	c.RecordedClaims = slices.Clone(c.RecordedClaims)
	return c, errors.Join(
		option.Fill("auth: Options.Leeway", &c.Leeway, defaultLeeway, 0),
		option.Fill("auth: Options.MaxTokenBytes", &c.MaxTokenBytes, defaultMaxTokenBytes, jose.MaxBytes),
	)
}

// Authenticator turns tokens into Callers.
type Authenticator struct {
	authorities *Authorities
	options     Options
}

// NewAuthenticator returns an Authenticator for the tokens of the authorities. The error
// is ErrInvalidOption.
func NewAuthenticator(authorities *Authorities, options *Options) (*Authenticator, error) {
	o, err := options.withDefaults()
	if err == nil && authorities == nil {
		err = fmt.Errorf("%w: auth: give NewAuthenticator the authorities", ErrInvalidOption)
	}
	if err != nil {
		return nil, err
	}
	return &Authenticator{authorities: authorities, options: o}, nil
}

// Authenticate is a hook for realtime.Options.Authenticate: it returns the owner of the
// token that the request carries. Errors are ErrNoToken and those of AuthenticateToken.
func (a *Authenticator) Authenticate(r *http.Request) (*sharedata.Caller, error) {
	token, err := a.token(r)
	if err != nil {
		return nil, err
	}
	return a.AuthenticateToken(r.Context(), token)
}

// AuthenticateToken returns the owner of a token. Its Subject, Issuer, Audience and TokenID
// are the claims sub, iss, aud and jti; IssuedAt is iat; ExpiresAt is exp and the leeway:
// the moment from which the token is refused; Claims are the others, see
// Options.RecordedClaims, as an object with sorted names, or nil if there are none. The
// context bounds how long it waits for the keys of the issuer.
//
// Errors are ErrInvalidToken, ErrTokenExpired and ErrKeysUnavailable.
func (a *Authenticator) AuthenticateToken(ctx context.Context, token string) (*sharedata.Caller, error) {
	if len(token) > a.options.MaxTokenBytes {
		return nil, invalid("it has %d bytes; see Options.MaxTokenBytes, %d", len(token), a.options.MaxTokenBytes)
	}
	message, err := jose.Parse(token)
	if err != nil {
		return nil, invalid("%w", err)
	}
	if err := checkType(message.Header); err != nil {
		return nil, err
	}
	claims, err := parseClaims(message.Payload)
	if err != nil {
		return nil, err
	}
	issuer, err := claims.optionalString("iss")
	if issuer = cmp.Or(issuer, a.options.DefaultIssuer); err == nil && issuer == "" {
		issuer, err = claims.requiredString("iss")
	}
	if err != nil {
		return nil, err
	}
	if err := a.authorities.verify(ctx, a.options.Audience, issuer, message); err != nil {
		return nil, err
	}
	return a.caller(claims, issuer)
}

// checkType refuses a JWS that is no access token: one of another type could have been
// signed for another purpose (RFC 8725 section 3.11), and a content type says that the
// payload is a token again. The types are media types (RFC 7515 section 4.1.9).
func checkType(header jose.Header) error {
	typ := strings.TrimPrefix(strings.ToLower(header.Type), "application/")
	switch {
	case header.ContentType != "":
		return invalid("its header has the content type %.40q; tokens within tokens are not accepted", header.ContentType)
	case header.Type != "" && typ != "jwt" && typ != "at+jwt": // RFC 9068 section 2.1
		return invalid("its header has the type %.40q; use JWT or at+jwt", header.Type)
	}
	return nil
}

// caller checks the claims of a verified token.
func (a *Authenticator) caller(claims claims, issuer string) (*sharedata.Caller, error) {
	audience, err := a.audience(claims)
	if err != nil {
		return nil, err
	}
	subject, err := claims.requiredString("sub")
	if err != nil {
		return nil, err
	}
	id, err := claims.optionalString("jti")
	if err != nil {
		return nil, err
	}
	issuedAt, expiresAt, err := a.checkDates(claims)
	if err != nil {
		return nil, err
	}
	return &sharedata.Caller{
		Subject: subject, Issuer: issuer, Audience: audience, Claims: claims.recorded(a.options.RecordedClaims),
		TokenID: id, IssuedAt: issuedAt, ExpiresAt: expiresAt,
	}, nil
}

// audience returns the audience of a token, which must be the service's.
func (a *Authenticator) audience(claims claims) ([]string, error) {
	if _, there := claims["aud"]; !there && a.options.AllowNoAudience {
		return nil, nil
	}
	audience, err := claims.audience()
	if err == nil && !slices.Contains(audience, a.options.Audience) {
		err = invalid("it is not for the audience %.60q", a.options.Audience)
	}
	return audience, err
}

// checkDates returns the claim iat and the moment from which the token is refused, each
// zero if there is none.
func (a *Authenticator) checkDates(claims claims) (issuedAt, expiresAt time.Time, err error) {
	var dates [3]time.Time
	for i, name := range []string{"iat", "nbf", "exp"} {
		if dates[i], err = claims.date(name); err != nil {
			return time.Time{}, time.Time{}, err
		}
	}
	issuedAt, notBefore, expiresAt := dates[0], dates[1], dates[2]
	now, leeway := time.Now(), a.options.Leeway
	switch latest := now.Add(leeway); {
	case expiresAt.IsZero() && !a.options.AllowNoExpiry:
		err = invalid("it has no claim exp; see Options.AllowNoExpiry")
	case !expiresAt.IsZero() && !now.Before(expiresAt.Add(leeway)):
		err = fmt.Errorf("%w: %w at %s", ErrInvalidToken, ErrTokenExpired, expiresAt.UTC().Format(time.RFC3339))
	case notBefore.After(latest):
		err = invalid("it is not valid before %s", notBefore.UTC().Format(time.RFC3339))
	case issuedAt.After(latest):
		err = invalid("it was issued at %s, in the future; set the clocks", issuedAt.UTC().Format(time.RFC3339))
	}
	if !expiresAt.IsZero() {
		expiresAt = expiresAt.Add(leeway)
	}
	return issuedAt, expiresAt, err
}

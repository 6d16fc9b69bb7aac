package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/safe-go/safe/internal/option"
)

// JWKSOptions configures a JWKS. Nil or the zero value is good. For numbers and
// durations 0 is the default; -1 switches MaxInterval and MaxStale off, and is, like
// any other negative number, an error of NewJWKS for the others.
type JWKSOptions struct {
	// MinInterval is the least time between two requests, whatever causes them. A new
	// key that the issuer uses at once is known this much later at worst. As long as
	// there are no keys at all, failed requests are repeated sooner: after 1 s, 2 s,
	// 4 s and so on up to MinInterval. Default: 30 s for a URL, 1 s for a file.
	MinInterval time.Duration
	// MaxInterval is the age at which keys are fetched again, while they go on being
	// used; a shorter max-age of the response (RFC 9111 section 5.2.2.1) is honoured,
	// down to MinInterval. So it is also the time after which a key that was
	// withdrawn is refused. Default: 15 minutes for a URL, 10 s for a file. -1:
	// fetch only for tokens with unknown keys.
	MaxInterval time.Duration
	// MaxStale is how long keys are used after the last successful request for them,
	// while the URL cannot be reached or does not send keys. Default: 24 h. -1:
	// without end.
	MaxStale time.Duration
	// Timeout is how long one request may take, with its redirects. A token that needs
	// keys which are not there waits as long at most. Default: 10 s.
	Timeout time.Duration
	// MaxBytes is the size of the largest response or file that is accepted.
	// Default: 1 MiB.
	MaxBytes int

	// Client makes the requests. Its CheckRedirect is called after the checks of this
	// package: at most three redirects, none to a URL that would not be allowed.
	// Default: a client without connections that stay open, which uses the proxy of
	// the environment.
	Client *http.Client
	// AllowHTTP allows URLs with http besides https. A party that can change what is
	// sent over http can make tokens. URLs of this machine (localhost and
	// loopback addresses) are always allowed.
	AllowHTTP bool

	// Logger gets failed requests (Warn). Default: nothing is logged.
	Logger *slog.Logger
}

func (o *JWKSOptions) withDefaults(isFile bool) (JWKSOptions, error) {
	var c JWKSOptions
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	minInterval, maxInterval := 30*time.Second, 15*time.Minute
	if isFile {
		minInterval, maxInterval = time.Second, 10*time.Second
	}
	const never = time.Duration(math.MaxInt64)
	err := errors.Join(
		option.FillPositive("auth: JWKSOptions.MinInterval", &c.MinInterval, minInterval),
		option.Fill("auth: JWKSOptions.MaxInterval", &c.MaxInterval, max(maxInterval, c.MinInterval), never),
		option.Fill("auth: JWKSOptions.MaxStale", &c.MaxStale, 24*time.Hour, never),
		option.FillPositive("auth: JWKSOptions.Timeout", &c.Timeout, 10*time.Second),
		option.FillPositive("auth: JWKSOptions.MaxBytes", &c.MaxBytes, 1<<20),
	)
	if err == nil && c.MaxInterval < c.MinInterval {
		err = fmt.Errorf("%w: auth: JWKSOptions.MaxInterval %v is shorter than MinInterval %v", ErrInvalidOption, c.MaxInterval, c.MinInterval)
	}
	return c, err
}

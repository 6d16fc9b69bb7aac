package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// JWKS is a source of keys that is read from a URL or a file when a token needs
// it (RFC 7517 section 5), and kept. One request is under way at a time; while it is,
// the keys that are known go on being used. A response that is no key set changes
// nothing. Keys that are not supported are ignored, so are secrets in the response of
// a URL; a key that is no longer listed is no longer used.
//
// One JWKS may be registered for several audiences and issuers.
type JWKS struct {
	options JWKSOptions
	read    func(context.Context) (fetchedKeys, error)
	ctx     context.Context // of the requests; ended by Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	keys     jwk.Set       // nil as long as no request succeeded
	fetched  time.Time     // when the request for keys began
	due      time.Time     // from when on the keys are fetched again
	earliest time.Time     // before when no request begins
	failures int           // since the last success
	err      error         // of the last request; nil if it succeeded
	fetching chan struct{} // closed when the request under way ends; nil if none is
	closed   bool
}

// fetchedKeys is what was read. maxAge is 0 if the source gives none.
type fetchedKeys struct {
	keys   jwk.Set
	maxAge time.Duration
}

var errClosed = errors.New("the JWKS was closed")

// NewJWKS returns the source of the keys at a URL, https://… or http://… (see
// JWKSOptions.AllowHTTP), or in a file, any path without "://". Nothing is read before
// the first token needs it. The error is ErrInvalidOption.
func NewJWKS(urlOrPath string, options *JWKSOptions) (*JWKS, error) {
	isFile := !strings.Contains(urlOrPath, "://")
	o, err := options.withDefaults(isFile)
	if err != nil {
		return nil, err
	}
	j := &JWKS{options: o}
	if isFile {
		j.read = (&keyFile{path: urlOrPath, options: o}).read
	} else {
		fetcher, err := newKeyFetcher(urlOrPath, o)
		if err != nil {
			return nil, err
		}
		j.read = fetcher.read
	}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	return j, nil
}

// Close ends a request that is under way and waits for it. Afterwards the keys that are
// known go on being used until they are older than JWKSOptions.MaxStale.
func (j *JWKS) Close() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.cancel()
	j.running.Wait()
	return nil
}

// Keys returns the keys that were listed at the last successful request. It waits only
// if there are none, or none young enough.
func (j *JWKS) Keys(ctx context.Context) (jwk.Set, error) {
	j.mu.Lock()
	now := time.Now()
	usable := j.usableLocked(now)
	if !usable || !now.Before(j.due) {
		j.fetchLocked(now)
	}
	keys, fetching, err := j.keys, j.fetching, j.err
	j.mu.Unlock()
	switch {
	case usable:
		return keys, nil
	case fetching == nil: // and it is too early for another request
		return nil, err
	}
	return j.await(ctx, fetching)
}

// Refresh requests newer keys than known. It returns the current set if
// JWKSOptions.MinInterval forbids a request or no newer set exists, and fails if the
// last request failed: there may be newer keys then.
func (j *JWKS) Refresh(ctx context.Context, known jwk.Set) (jwk.Set, error) {
	j.mu.Lock()
	if j.keys == known {
		j.fetchLocked(time.Now())
	}
	keys, fetching, err := j.keys, j.fetching, j.err
	j.mu.Unlock()
	if keys == known && fetching != nil {
		if keys, err = j.await(ctx, fetching); err == nil && keys == known {
			j.mu.Lock()
			err = j.err
			j.mu.Unlock()
		}
	}
	if keys != known {
		return keys, nil
	}
	return keys, err
}

// await returns the keys after the end of a request.
func (j *JWKS) await(ctx context.Context, fetching <-chan struct{}) (jwk.Set, error) {
	select {
	case <-fetching:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.usableLocked(time.Now()) {
		return nil, j.err
	}
	return j.keys, nil
}

func (j *JWKS) usableLocked(now time.Time) bool {
	return j.keys != nil && now.Sub(j.fetched) <= j.options.MaxStale
}

// fetchLocked starts a request, unless one is under way or it is too early.
func (j *JWKS) fetchLocked(now time.Time) {
	switch {
	case j.closed && j.err == nil:
		j.err = errClosed
	case j.closed || j.fetching != nil || now.Before(j.earliest):
	default:
		done := make(chan struct{})
		j.fetching = done
		j.running.Go(func() {
			defer close(done)
			j.fetch(now)
		})
	}
}

// fetch makes one request that began at a time, and keeps its result.
func (j *JWKS) fetch(began time.Time) {
	ctx, cancel := context.WithTimeout(j.ctx, j.options.Timeout)
	defer cancel()
	read, err := j.readSafely(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fetching, j.err = nil, err
	j.earliest = began.Add(j.options.MinInterval)
	if err != nil {
		if j.keys == nil {
			j.earliest = time.Now().Add(min(time.Second<<min(j.failures, 20), j.options.MinInterval))
		}
		j.failures++
		j.options.Logger.Warn("keys of tokens could not be read; the known ones are used until JWKSOptions.MaxStale", "error", err)
		return
	}
	interval := j.options.MaxInterval
	if read.maxAge > 0 {
		interval = max(min(interval, read.maxAge), j.options.MinInterval)
	}
	j.failures, j.keys, j.fetched, j.due = 0, read.keys, began, began.Add(interval)
}

// readSafely makes an error of a panic, which would end the process in this goroutine.
func (j *JWKS) readSafely(ctx context.Context) (read fetchedKeys, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("reading the keys panicked: %v", value)
		}
	}()
	return j.read(ctx)
}

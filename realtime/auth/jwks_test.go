package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
)

// issuerServer answers requests for keys without a network, so that the clock of a test can
// be faked.
type issuerServer struct {
	mu           sync.Mutex
	body         string
	status       int // 200 if 0
	cacheControl string
	requests     int
	wait         func(context.Context) // before each response
}

func (s *issuerServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.requests++
	response := &http.Response{StatusCode: max(s.status, 200), Body: io.NopCloser(strings.NewReader(s.body)),
		Header: http.Header{"Cache-Control": {s.cacheControl}}}
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		wait(r.Context())
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return response, nil
}

func (s *issuerServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *issuerServer) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// jwksFixture is an Authenticator whose keys come from a JWKS.
type jwksFixture struct {
	*testing.T
	server        issuerServer
	jwks          *auth.JWKS
	authenticator *auth.Authenticator
}

func newJWKSFixture(t *testing.T, options auth.JWKSOptions) *jwksFixture {
	t.Helper()
	f := &jwksFixture{T: t}
	options.Client = &http.Client{Transport: &f.server}
	f.jwks = must(auth.NewJWKS("https://id.example/jwks.json", &options))
	f.authenticator = authenticatorFor(t, f.jwks)
	return f
}

func authenticatorFor(t *testing.T, keys auth.KeySource) *auth.Authenticator {
	t.Helper()
	authorities := auth.NewAuthorities()
	if err := authorities.Set(auth.DefaultAudience, issuer, keys); err != nil {
		t.Fatal(err)
	}
	return must(auth.NewAuthenticator(authorities, &auth.Options{AllowNoExpiry: true}))
}

// listedKey returns a public key as it is in a key set, and a token without expiry.
func listedKey(id string) (public, signed string) {
	raw := newEd25519()
	key := must(jwk.PublicKeyOf(raw))
	if err := key.Set(jwk.KeyIDKey, id); err != nil {
		panic(err)
	}
	return string(must(json.Marshal(key))), token(fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, id), claims("exp", ""), "EdDSA", raw)
}

func keySet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// expect fails if a token is not accepted, or not refused with an error, after a number of
// requests in all.
func (f *jwksFixture) expect(moment, token string, want error, requests int) {
	f.Helper()
	if _, err := f.authenticator.AuthenticateToken(context.Background(), token); !errors.Is(err, want) {
		f.Errorf("%s: %v; want %v", moment, err, want)
	}
	synctest.Wait()
	if n := f.server.count(); n != requests {
		f.Errorf("%s: %d requests; want %d", moment, n, requests)
	}
}

func TestJWKS_Rotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWKSFixture(t, auth.JWKSOptions{})
		defer f.jwks.Close()
		key1, by1 := listedKey("1")
		key2, by2 := listedKey("2")
		key3, by3 := listedKey("3")
		f.server.body = keySet(key1)
		f.expect("first token", by1, nil, 1)
		f.expect("known key", by1, nil, 1)
		f.server.change(func() { f.server.body = keySet(key1, key2) })
		f.expect("unknown key at once", by2, auth.ErrInvalidToken, 1)
		time.Sleep(31 * time.Second)
		f.expect("unknown key later", by2, nil, 2)
		f.expect("old key, still listed", by1, nil, 2)
		f.server.change(func() { f.server.body = keySet(key2, key3) })
		time.Sleep(15 * time.Minute)
		f.expect("old key while it is fetched", by1, nil, 3)
		f.expect("old key, no longer listed", by1, auth.ErrInvalidToken, 3)
		f.expect("remaining key", by2, nil, 3)
		f.expect("new key", by3, nil, 3)
		f.server.change(func() { f.server.body = keySet() })
		time.Sleep(15 * time.Minute)
		f.expect("while it is fetched", by3, nil, 4)
		f.expect("all keys withdrawn", by3, auth.ErrInvalidToken, 4)
	})
}

// An issuer with one key may neither name it in its key set nor in its tokens.
func TestJWKS_RotationWithoutID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWKSFixture(t, auth.JWKSOptions{})
		defer f.jwks.Close()
		key1, by1 := listedKey("")
		key2, by2 := listedKey("")
		f.server.body = keySet(key1)
		f.expect("first token", by1, nil, 1)
		f.server.change(func() { f.server.body = keySet(key2) })
		time.Sleep(31 * time.Second)
		f.expect("new key", by2, nil, 2)
		f.expect("old key", by1, auth.ErrInvalidToken, 2)
	})
}

func TestJWKS_MaxAge(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 15 * time.Minute, "public": 15 * time.Minute, "max-age=60": time.Minute, "public, MAX-AGE=60, must-revalidate": time.Minute,
		"max-age=1": 30 * time.Second, "max-age=0": 30 * time.Second, "no-store": 30 * time.Second, "no-cache, max-age=600": 30 * time.Second,
		"max-age=86400": 15 * time.Minute, "max-age=-1": 15 * time.Minute, "max-age=x": 15 * time.Minute, "max-age=99999999999999999999": 15 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newJWKSFixture(t, auth.JWKSOptions{})
			defer f.jwks.Close()
			key, signed := listedKey("1")
			f.server.body, f.server.cacheControl = keySet(key), header
			f.expect(header, signed, nil, 1)
			time.Sleep(want - time.Millisecond)
			f.expect(header+", before", signed, nil, 1)
			time.Sleep(time.Millisecond)
			f.expect(header+", after", signed, nil, 2)
		})
	}
}

// TestJWKS_FloodOfUnknownKeys has many tokens at once, each with another unknown key.
func TestJWKS_FloodOfUnknownKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWKSFixture(t, auth.JWKSOptions{})
		defer f.jwks.Close()
		key, good := listedKey("1")
		f.server.body = keySet(key)
		f.server.wait = func(context.Context) { time.Sleep(time.Second) }
		for round := 1; round <= 3; round++ {
			var running sync.WaitGroup
			for i := range 500 {
				running.Go(func() {
					_, forged := listedKey(fmt.Sprint("unknown ", i))
					if _, err := f.authenticator.AuthenticateToken(context.Background(), forged); !errors.Is(err, auth.ErrInvalidToken) {
						t.Errorf("%v", err)
					}
					if _, err := f.authenticator.AuthenticateToken(context.Background(), good); err != nil {
						t.Error(err)
					}
				})
			}
			running.Wait()
			if n := f.server.count(); n != round {
				t.Fatalf("%d requests in %d intervals", n, round)
			}
			time.Sleep(30 * time.Second)
		}
	})
}

func TestJWKS_Outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWKSFixture(t, auth.JWKSOptions{MaxStale: time.Hour})
		defer f.jwks.Close()
		key1, by1 := listedKey("1")
		key2, by2 := listedKey("2")
		f.server.body = keySet(key1)
		f.expect("before", by1, nil, 1)
		f.server.change(func() { f.server.status, f.server.body = 503, keySet(key2) })
		time.Sleep(30 * time.Minute)
		f.expect("out of reach", by1, nil, 2)
		f.expect("soon after", by1, nil, 2)
		time.Sleep(29 * time.Second)
		f.expect("within MinInterval", by1, nil, 2)
		f.expect("unknown key meanwhile", by2, auth.ErrKeysUnavailable, 2)
		time.Sleep(30*time.Minute - 29*time.Second)
		f.expect("last moment", by1, nil, 3)
		time.Sleep(time.Minute)
		f.expect("too long", by1, auth.ErrKeysUnavailable, 4)
		f.expect("too long, for a server", by1, realtime.ErrUnavailable, 4)
		f.expect("no second request", by1, auth.ErrKeysUnavailable, 4)
		f.server.change(func() { f.server.status = 200 })
		time.Sleep(time.Minute)
		f.expect("reachable again", by2, nil, 5)
		f.expect("key of long ago", by1, auth.ErrInvalidToken, 5)
	})
}

func TestJWKS_FirstRequestRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWKSFixture(t, auth.JWKSOptions{MinInterval: 3 * time.Second})
		defer f.jwks.Close()
		key, signed := listedKey("1")
		f.server.status = 500
		for i, pause := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
			f.expect("failure", signed, auth.ErrKeysUnavailable, i+1)
			time.Sleep(pause - time.Millisecond)
			f.expect("too early", signed, auth.ErrKeysUnavailable, i+1)
			time.Sleep(time.Millisecond)
		}
		f.server.change(func() { f.server.status, f.server.body = 200, keySet(key) })
		f.expect("reachable", signed, nil, 5)
	})
}

func TestJWKS_SlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWKSFixture(t, auth.JWKSOptions{Timeout: 5 * time.Second})
		defer f.jwks.Close()
		_, signed := listedKey("1")
		f.server.wait = func(ctx context.Context) { <-ctx.Done() }
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := f.authenticator.AuthenticateToken(ctx, signed)
		if waited := time.Since(began); !errors.Is(err, auth.ErrKeysUnavailable) || !errors.Is(err, context.DeadlineExceeded) || waited != 2*time.Second {
			t.Errorf("after %v: %v", waited, err)
		}
		f.expect("until the time-out", signed, auth.ErrKeysUnavailable, 1)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("the request took %v", waited)
		}
	})
}

func TestJWKS_CloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWKSFixture(t, auth.JWKSOptions{})
		_, signed := listedKey("1")
		release, began := make(chan struct{}), time.Now()
		f.server.wait = func(ctx context.Context) { <-ctx.Done(); <-release }
		authenticated, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := f.authenticator.AuthenticateToken(context.Background(), signed)
			authenticated <- err
		}()
		synctest.Wait()
		go func() { closed <- f.jwks.Close() }()
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("Close returned before the request ended")
		}
		close(release)
		if err := <-authenticated; !errors.Is(err, auth.ErrKeysUnavailable) {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("Close did not end the request, which took %v", waited)
		}
		time.Sleep(time.Hour)
		f.expect("closed", signed, auth.ErrKeysUnavailable, 1)
	})
}

func TestJWKS_ClosedUnused(t *testing.T) {
	jwks := must(auth.NewJWKS("https://id.example/jwks.json", nil))
	if err := errors.Join(jwks.Close(), jwks.Close()); err != nil {
		t.Error(err)
	}
	if keys, err := jwks.Keys(context.Background()); err == nil {
		t.Errorf("%v", keys)
	}
}

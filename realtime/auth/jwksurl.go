package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxRedirects = 3

// keyFetcher reads a key set from a URL.
type keyFetcher struct {
	url     *url.URL
	client  *http.Client
	options JWKSOptions
}

func newKeyFetcher(rawURL string, o JWKSOptions) (*keyFetcher, error) {
	parsed, err := url.Parse(rawURL)
	if err != nil || parsed.Host == "" {
		return nil, fmt.Errorf("%w: auth: the URL of a JWKS cannot be parsed; use https://host/path", ErrInvalidOption)
	}
	f := &keyFetcher{url: parsed, options: o}
	if err := f.check(parsed); err != nil {
		return nil, fmt.Errorf("%w: auth: %w", ErrInvalidOption, err)
	}
	client := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	}}
	if o.Client != nil {
		client = *o.Client
	}
	next := client.CheckRedirect
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if err := f.check(r.URL); err != nil || next == nil {
			return err
		}
		return next(r, via)
	}
	f.client = &client
	return f, nil
}

// check returns an error for a URL that keys must not be read from.
func (f *keyFetcher) check(u *url.URL) error {
	switch {
	case u.Scheme == "https", u.Scheme == "http" && (f.options.AllowHTTP || isLoopback(u.Hostname())):
		return nil
	}
	return fmt.Errorf("the URL of a JWKS, %s://%s, is not protected by TLS; use https, or JWKSOptions.AllowHTTP", u.Scheme, u.Host)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (f *keyFetcher) read(ctx context.Context) (fetchedKeys, error) {
	read, err := f.request(ctx)
	if err != nil { // without the query and the password of the URL
		err = fmt.Errorf("%s://%s%s: %w", f.url.Scheme, f.url.Host, f.url.EscapedPath(), err)
	}
	return read, err
}

func (f *keyFetcher) request(ctx context.Context) (fetchedKeys, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url.String(), nil)
	if err != nil {
		return fetchedKeys{}, errors.New("the URL cannot be requested")
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := f.client.Do(r)
	if err != nil {
		if about, ok := errors.AsType[*url.Error](err); ok {
			err = about.Err // the text of url.Error has the whole URL
		}
		return fetchedKeys{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fetchedKeys{}, fmt.Errorf("the response has the status %d instead of 200", response.StatusCode)
	}
	body, err := readBounded(response.Body, f.options.MaxBytes)
	if err != nil {
		return fetchedKeys{}, err
	}
	keys, err := parseKeySet(body, false)
	return fetchedKeys{keys: keys, maxAge: maxAge(response.Header)}, err
}

func readBounded(r io.Reader, limit int) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(body) > limit {
		err = fmt.Errorf("the key set has more than %d bytes; see JWKSOptions.MaxBytes", limit)
	}
	return body, err
}

// maxAge returns how long a response is fresh (RFC 9111 section 5.2.2), at least 1 ns if
// its header says anything, otherwise 0.
func maxAge(header http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-cache", "no-store":
			return 1
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				return max(time.Duration(seconds)*time.Second, 1)
			}
		}
	}
	return 0
}

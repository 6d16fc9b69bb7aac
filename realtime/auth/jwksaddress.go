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

// keyFetcher reads a key set from an address.
type keyFetcher struct {
	address *url.URL
	client  *http.Client
	options JWKSOptions
}

func newKeyFetcher(address string, o JWKSOptions) (*keyFetcher, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return nil, fmt.Errorf("%w: auth: the address of a JWKS cannot be parsed; use https://host/path", ErrInvalidOption)
	}
	f := &keyFetcher{address: parsed, options: o}
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

// check returns an error for an address that keys must not be read from.
func (f *keyFetcher) check(address *url.URL) error {
	switch {
	case address.Scheme == "https", address.Scheme == "http" && (f.options.AllowHTTP || isLoopback(address.Hostname())):
		return nil
	}
	return fmt.Errorf("the address of a JWKS, %s://%s, is not protected by TLS; use https, or JWKSOptions.AllowHTTP", address.Scheme, address.Host)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (f *keyFetcher) read(ctx context.Context) (document, error) {
	read, err := f.request(ctx)
	if err != nil { // without the query and the password of the address
		err = fmt.Errorf("%s://%s%s: %w", f.address.Scheme, f.address.Host, f.address.EscapedPath(), err)
	}
	return read, err
}

func (f *keyFetcher) request(ctx context.Context) (document, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address.String(), nil)
	if err != nil {
		return document{}, errors.New("the address cannot be requested")
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := f.client.Do(r)
	if err != nil {
		if about, ok := errors.AsType[*url.Error](err); ok {
			err = about.Err // the text of url.Error has the whole address
		}
		return document{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return document{}, fmt.Errorf("the response has the status %d instead of 200", response.StatusCode)
	}
	body, err := readBounded(response.Body, f.options.MaxBytes)
	if err != nil {
		return document{}, err
	}
	keys, err := parseKeySet(body, false)
	return document{keys: keys, maxAge: maxAge(response.Header)}, err
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

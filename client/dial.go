package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/coder/websocket"
)

// Dial connects to the server at the address, a ws, wss, http or https URL,
// and returns when the connection is open. The first attempt is the only one:
// if it fails or the context ends first, Dial returns the error, a
// *ConnectError where the server could not be reached or refused, and leaves
// nothing running. Once connected, the client does not depend on the context.
func Dial(ctx context.Context, address string, options *Options) (*Client, error) {
	c, err := newClient(address, options)
	if err != nil {
		return nil, err
	}
	ws, err := c.connect(ctx)
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("client: %w", err)
	}
	go c.run(c.open(ws))
	return c, nil
}

// New returns a client that connects in the background, as after a lost
// connection. The error is ErrInvalid, for an address or options that can never
// work.
func New(address string, options *Options) (*Client, error) {
	c, err := newClient(address, options)
	if err != nil {
		return nil, err
	}
	go c.run(nil)
	return c, nil
}

func parseURL(address string) (*url.URL, error) {
	// Errors do not show the address: it may hold a credential.
	u, err := url.Parse(address)
	if err != nil {
		var detail *url.Error
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return nil, fmt.Errorf("client: %w: bad URL: %w", ErrInvalid, err)
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
	default:
		return nil, fmt.Errorf("client: %w: the URL must begin with ws://, wss://, http:// or https://, not %.20q", ErrInvalid, u.Scheme)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("client: %w: the URL names no host", ErrInvalid)
	}
	if u.Fragment != "" {
		// RFC 6455 section 3.
		return nil, fmt.Errorf("client: %w: a WebSocket URL has no fragment", ErrInvalid)
	}
	return u, nil
}

// connect makes one attempt. Its error is a *ConnectError. It is called from one
// goroutine at a time.
func (c *Client) connect(ctx context.Context) (*websocket.Conn, error) {
	if timeout := c.options.ConnectTimeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	target, header := *c.url, c.options.Header.Clone()
	if c.options.Token != nil {
		token, err := c.askToken(ctx)
		if err != nil {
			return nil, &ConnectError{Err: fmt.Errorf("token source: %w", err)}
		}
		c.token = token
		c.addToken(token, &target, header)
	}
	ws, response, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		HTTPClient: handshakeClient(c.options.HTTPClient),
		HTTPHeader: header,
	})
	if err != nil {
		return nil, connectError(response, err, c.token)
	}
	limit := c.options.MaxMessageBytes
	if limit == 0 {
		limit = -1
	}
	ws.SetReadLimit(limit)
	return ws, nil
}

// askToken calls the token source. The context says which token was rejected.
func (c *Client) askToken(ctx context.Context) (string, error) {
	if c.rejected != nil {
		ctx = withRejectedToken(ctx, *c.rejected)
	}
	token, err := c.options.Token(ctx)
	if err == nil && c.rejected != nil && token != *c.rejected {
		c.rejected = nil
	}
	return token, err
}

// maxRedirects is how many redirects of a handshake are followed, unless the HTTP
// client has a rule of its own.
const maxRedirects = 10

// handshakeClient returns a copy of the client that sends no Referer after a
// redirect: the address of the request before may contain a token.
func handshakeClient(given *http.Client) *http.Client {
	own := *given
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		r.Header.Del("Referer")
		switch {
		case given.CheckRedirect != nil:
			return given.CheckRedirect(r, via)
		case len(via) >= maxRedirects:
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		}
		return nil
	}
	return &own
}

func (c *Client) addToken(token string, target *url.URL, header http.Header) {
	switch {
	case token == "":
	case c.options.TokenInQuery:
		query := target.Query()
		query.Set("token", token)
		target.RawQuery = query.Encode()
	default:
		header.Set("Authorization", "Bearer "+token)
	}
}

// connectError drops the URLs, and with them the token, from the error. The error
// of a redirect may still quote the server's Location, which may repeat the token.
func connectError(response *http.Response, err error, token string) *ConnectError {
	var withURL *url.Error
	for errors.As(err, &withURL) {
		err = withURL.Err
	}
	status := 0
	if response != nil {
		status = response.StatusCode
	}
	return &ConnectError{Status: status, Err: withoutToken(err, token)}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"time"
)

const (
	requestTimeout = 15 * time.Second
	// maxHandshakes bounds how many connections are opened at a time, so that a
	// reconnect of all subscribers is no flood.
	maxHandshakes = 128
	// sourceAddresses is over how many addresses of the loopback the connections are
	// spread: each has some 28,000 ports on Linux.
	sourceAddresses = 250
)

// failure is an error with the code under which it is counted.
type failure struct {
	code  string
	final bool // to try again is pointless
	cause error
}

func (f *failure) Error() string {
	if f.cause == nil {
		return f.code
	}
	return fmt.Sprintf("%s: %v", f.code, f.cause)
}

func (f *failure) Unwrap() error { return f.cause }

// endpoint is the deployment under load.
type endpoint struct {
	url        *url.URL // with the scheme http or https
	token      string
	spread     bool // over source addresses: the endpoint is on the loopback
	handshakes chan struct{}
}

func newEndpoint(address, token string) (*endpoint, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("-url: %w", err)
	}
	scheme, known := map[string]string{"ws": "http", "wss": "https", "http": "http", "https": "https"}[u.Scheme]
	if !known || u.Host == "" {
		return nil, fmt.Errorf("-url %q: use ws://HOST:PORT/PATH, or wss, http or https", address)
	}
	u.Scheme = scheme
	e := &endpoint{url: u, token: token, handshakes: make(chan struct{}, maxHandshakes)}
	if resolved, err := net.ResolveTCPAddr("tcp", e.hostPort()); err == nil && resolved.IP.To4() != nil {
		// Other systems than Linux have 127.0.0.1 only.
		e.spread = resolved.IP.IsLoopback() && runtime.GOOS == "linux"
	}
	return e, nil
}

func (e *endpoint) hostPort() string {
	port := e.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[e.url.Scheme]
	}
	return net.JoinHostPort(e.url.Hostname(), port)
}

// dial opens the connection with that number.
func (e *endpoint) dial(ctx context.Context, number int) (net.Conn, error) {
	var dialer net.Dialer
	if e.spread {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, 0, byte(1+number%sourceAddresses))}
	}
	conn, err := dialer.DialContext(ctx, "tcp", e.hostPort())
	if err == nil && e.url.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: e.url.Hostname()})
	}
	return conn, err
}

// open sends a GET with further query parameters and header lines. It returns the
// connection, whose input begins after the header of the response. When ctx ends, the
// connection is closed.
func (e *endpoint) open(ctx context.Context, number int, query url.Values, header string, status int) (net.Conn, *bufio.Reader, *http.Response, error) {
	select {
	case e.handshakes <- struct{}{}:
		defer func() { <-e.handshakes }()
	case <-ctx.Done():
		return nil, nil, nil, ctx.Err()
	}
	conn, err := e.dial(ctx, number)
	if err != nil {
		return nil, nil, nil, &failure{code: "dial", cause: err}
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	in, response, err := e.handshake(conn, query, header, status)
	if err != nil {
		conn.Close()
	}
	return conn, in, response, err
}

func (e *endpoint) handshake(conn net.Conn, query url.Values, header string, status int) (*bufio.Reader, *http.Response, error) {
	_ = conn.SetDeadline(time.Now().Add(requestTimeout)) // fails on a closed connection only
	target := *e.url
	all := target.Query()
	for name, values := range query {
		all[name] = values
	}
	target.RawQuery = all.Encode()
	if e.token != "" {
		header += "Authorization: Bearer " + e.token + "\r\n"
	}
	reader := bufio.NewReaderSize(conn, readBytes)
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target.RequestURI(), target.Host, header)
	var response *http.Response
	if err == nil {
		response, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		return nil, nil, &failure{code: "handshake", cause: err}
	}
	if response.StatusCode != status {
		busy := response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= 500
		return nil, nil, &failure{code: fmt.Sprintf("http-%d", response.StatusCode), final: !busy}
	}
	return reader, response, conn.SetDeadline(time.Time{})
}

// create creates a ShareData unless it exists, by the administration of examples/server.
func (e *endpoint) create(ctx context.Context, client *http.Client, id, state string) error {
	admin := url.URL{Scheme: e.url.Scheme, Host: e.url.Host, Path: "/admin/sharedata/"}
	response, err := e.post(ctx, client, admin.JoinPath(url.PathEscape(id)).String(), []byte(state))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusConflict {
		return fmt.Errorf("create %s: %s; -create needs the administration of examples/server", id, response.Status)
	}
	return nil
}

func (e *endpoint) post(ctx context.Context, client *http.Client, address string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if e.token != "" {
		request.Header.Set("Authorization", "Bearer "+e.token)
	}
	return client.Do(request)
}

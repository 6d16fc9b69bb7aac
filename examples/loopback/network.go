package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

var errDown = errors.New("the network is down")

// network is a network that can be cut and repaired, and counts what is received over
// it. The zero value is up.
type network struct {
	bytes atomic.Int64

	mu   sync.Mutex
	down bool
	conn net.Conn // the newest
}

// httpClient returns an HTTP client that connects over the network.
func (n *network) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: n.dial}}
}

func (n *network) dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil, errDown
	}
	conn, err := new(net.Dialer).DialContext(ctx, protocol, address)
	if err != nil {
		return nil, err
	}
	n.conn = countedConn{conn, &n.bytes}
	return n.conn, nil
}

// received returns how many bytes were received up to now.
func (n *network) received() int64 { return n.bytes.Load() }

// countedConn counts the bytes that are read.
type countedConn struct {
	net.Conn
	read *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// cut closes the connection without a close frame, and refuses new ones.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
	if n.conn != nil {
		n.conn.Close()
	}
}

// repair accepts new connections again.
func (n *network) repair() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

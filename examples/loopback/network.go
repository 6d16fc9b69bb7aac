package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

var errDown = errors.New("the network is down")

// network is a network that can be cut and repaired. The zero value is up.
type network struct {
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
	n.conn = conn
	return conn, err
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

package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

var errLineIsDown = errors.New("the line is down")

// line is a network that can be cut and mended. The zero line is up.
type line struct {
	mu   sync.Mutex
	down bool
	conn net.Conn // the newest
}

// httpClient makes connections over the line.
func (l *line) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: l.dial}}
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errLineIsDown
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	l.conn = conn
	return conn, err
}

// cut ends the connection without a word and lets no other be made.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	if l.conn != nil {
		l.conn.Close()
	}
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

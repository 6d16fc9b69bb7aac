package client

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// ConnectionState says where a Client stands with its server.
type ConnectionState int

// The states of a connection. A client starts at Connecting, alternates
// between Open and Reconnecting, and ends at Closed.
const (
	Connecting ConnectionState = iota
	Open
	Reconnecting
	Closed
)

// String returns the state in lower case.
func (s ConnectionState) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Open:
		return "open"
	case Reconnecting:
		return "reconnecting"
	case Closed:
		return "closed"
	}
	return fmt.Sprintf("ConnectionState(%d)", int(s))
}

// Status is the state of a client's connection and how it got there.
type Status struct {
	State ConnectionState
	// Attempt numbers the coming attempt to connect since the last connection,
	// from 1, and Delay is the time until it is made. Both are 0 where State
	// is Open or Closed.
	Attempt int
	Delay   time.Duration
	// Err is the cause: of Reconnecting, how the last connection or attempt
	// ended, a *DisconnectError, a *ConnectError or what broke the connection
	// off; of Closed, ErrClosed or what stopped the client for good. While
	// Open it is nil, or a *ServerError for a serverError of the server that
	// ended nothing.
	Err error
}

// keptStatuses bounds what is remembered for whoever ranges slowly.
const keptStatuses = 64

// statusLog remembers the newest changes of a client's status. It is guarded
// by the client's lock.
type statusLog struct {
	recent  []Status      // the newest is last; never empty
	next    uint64        // the number of the change that comes after recent
	changed chan struct{} // closed at the next change
}

func newStatusLog(first Status) statusLog {
	return statusLog{recent: []Status{first}, next: 1, changed: make(chan struct{})}
}

func (l *statusLog) add(status Status) {
	if len(l.recent) == keptStatuses {
		l.recent = append(l.recent[:0], l.recent[1:]...)
	}
	l.recent = append(l.recent, status)
	l.next++
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *statusLog) current() Status { return l.recent[len(l.recent)-1] }

// after returns the change numbered at, or the oldest later one that is still
// remembered, and the number that follows it. Without such a change it returns
// a channel that is closed when there is one.
func (l *statusLog) after(at uint64) (status Status, next uint64, wait <-chan struct{}) {
	oldest := l.next - uint64(len(l.recent))
	at = max(at, oldest)
	if at == l.next {
		return Status{}, at, l.changed
	}
	return l.recent[at-oldest], at + 1, nil
}

// Status returns where the connection stands now.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status.current()
}

// Statuses yields where the connection stands now and then every change, in
// order. It ends after Closed or with the context. Any number of loops may
// range at once; one that is more than 64 changes late misses the oldest.
func (c *Client) Statuses(ctx context.Context) iter.Seq[Status] {
	return func(yield func(Status) bool) {
		c.mu.Lock()
		at := c.status.next - 1
		c.mu.Unlock()
		for ctx.Err() == nil {
			c.mu.Lock()
			status, next, wait := c.status.after(at)
			c.mu.Unlock()
			at = next
			if wait != nil {
				select {
				case <-wait:
				case <-ctx.Done():
				}
				continue
			}
			if !yield(status) || status.State == Closed {
				return
			}
		}
	}
}

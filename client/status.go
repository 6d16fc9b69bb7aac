package client

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// ConnectionState is the state of a Client's connection.
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
	// Attempt is the number of the next attempt to connect, counted from 1 since
	// the last connection, and Delay the time until it is made. Both are 0 where
	// State is Open or Closed.
	Attempt int
	Delay   time.Duration
	// Err is the cause. Reconnecting: how the last connection or attempt ended, a
	// *DisconnectError, a *ConnectError or a *ServerError. Closed: ErrClosed, with
	// the cause if the client stopped for good. Open: nil, or a *ServerError that
	// ended nothing.
	Err error
}

// keptStatuses bounds the changes that are kept for a slow loop over Statuses.
const keptStatuses = 64

// statusLog keeps the newest changes of a client's status. It is guarded by the
// client's lock.
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

// after returns the change with the number at, or the oldest later one that is
// kept, and the number of the next one. If there is no such change yet, it returns
// a channel that is closed by the next change.
func (l *statusLog) after(at uint64) (status Status, next uint64, wait <-chan struct{}) {
	oldest := l.next - uint64(len(l.recent))
	at = max(at, oldest)
	if at == l.next {
		return Status{}, at, l.changed
	}
	return l.recent[at-oldest], at + 1, nil
}

// Status returns the present status of the connection.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status.current()
}

// Statuses yields the present status of the connection and then every change, in
// order. It ends after Closed or with the context. Any number of loops may range
// at the same time; one that is more than 64 changes late misses the oldest.
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

package realtime

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/replay"
)

// Revocations across processes
//
// Processes that share a store learn of each other's commits by notifications,
// which come in order for one ShareData and in no order between two. So a server
// that is notified of a commit to a ShareData may not know yet of a revocation
// that came before it. Notifications alone cannot keep the promise that a revoked
// subscriber is sent nothing that was committed after Revoke had returned.
//
// The promise is kept by a lease that each server gives to itself:
//
//  1. A server confirms, every leaseTime/2, that it has applied all revocations:
//     it reads them from the store (Manager.Refresh). The confirmation is as old
//     as the time before the read.
//  2. A channel hands a commit to subscribers only if the last confirmation is
//     younger than leaseTime at that moment. Otherwise it holds the commit, until
//     a confirmation has succeeded that is younger, or that has begun after the
//     commit arrived.
//  3. A proposal is handed to the manager in the same way.
//  4. Revoke returns revokeWait, which is more than leaseTime, after the
//     revocation was appended.
//
// Let a server hand over a commit, or a proposal, at the time t by a confirmation from c, with
// t < c + leaseTime. If the revocation was appended before c, the server has
// applied it, and the connection has ended. If not, Revoke returns after
// c + revokeWait > t, so the commit, which was there at t, did not come after
// Revoke had returned. A commit that arrived before c was there before c, so
// before any revocation that was not applied. Clocks are not compared: the two times are measured
// by one process each, so only their rates matter, and revokeWait allows for a
// difference of a tenth. A process that is stopped and continued has an old
// confirmation. There is no membership: servers that crash, hang or are cut off
// are waited for no longer than others.
//
// A server that does not reach the store holds what others commit, if it is
// notified of that at all, and goes on serving what it had handed over before.
// A ShareData that is subscribed to for the first time then is served if it has
// not changed since the last confirmation, and refused as unavailable otherwise;
// proposals are refused, too. New connections are accepted: they are sent only what
// is confirmed, and end when the store can be read and has a revocation of them.
//
// Where no other process appends to the store, a revocation is applied inside its
// commit, before Revoke returns, and one confirmation lasts for ever.

const (
	leaseTime  = time.Second
	revokeWait = leaseTime + leaseTime/10
	// confirmTimeout bounds how long a new connection waits for a confirmation.
	confirmTimeout = 2 * time.Second
)

// revocationLease says until when the server may hand over commits. A goroutine
// renews it while there are connections, where several processes share the store.
type revocationLease struct {
	shared bool
	// read applies all that the store holds.
	read func(ctx context.Context) error

	// confirmed is the time at which the last successful confirmation began; nil
	// for none.
	confirmed atomic.Pointer[time.Time]
	// following says that the store notifies of revocations; stop ends that.
	following atomic.Bool
	// wake has an element when a confirmation is wanted, or the last connection
	// has ended.
	wake chan struct{}
	// reading is a semaphore; its holder owns began, err and stop: when the last
	// read began, its error, and what ends the notifications.
	reading chan struct{}
	began   time.Time
	err     error
	stop    func()

	mu      sync.Mutex // a leaf; see channel
	applied replay.Cursor
	waiting []*channel // that hold commits
}

func newRevocationLease(shared bool, read func(context.Context) error) *revocationLease {
	return &revocationLease{shared: shared, read: read, wake: make(chan struct{}, 1), reading: make(chan struct{}, 1)}
}

// isValid reports whether commits that have arrived may be handed over.
func (l *revocationLease) isValid() bool {
	confirmed := l.confirmed.Load()
	if confirmed == nil || !l.shared {
		return confirmed != nil
	}
	return isValidAt(*confirmed, time.Now())
}

// isValidAt reports whether a confirmation is valid at a time. The monotonic clock
// stands still while a machine is suspended, and the wall clock may be set back.
func isValidAt(confirmed, at time.Time) bool {
	return at.Sub(confirmed) < leaseTime && at.Round(0).Sub(confirmed.Round(0)) < leaseTime
}

// wasValidAt reports whether the last confirmation was valid at, or began after,
// the time known. What this process knew at that time may then be handed over.
func (l *revocationLease) wasValidAt(known time.Time) bool {
	confirmed := l.confirmed.Load()
	return confirmed != nil && !known.IsZero() && isValidAt(*confirmed, known)
}

// confirm reads what was revoked until now, and releases the held commits of the
// waiting channels. Calls at the same time share a read.
func (l *revocationLease) confirm(ctx context.Context) error {
	asked := time.Now()
	select {
	case l.reading <- struct{}{}:
		defer func() { <-l.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.began.After(asked) {
		return l.err
	}
	began := time.Now()
	err := l.read(ctx)
	if ctx.Err() == nil { // otherwise the error says nothing to others
		l.began, l.err = began, err
	}
	if err != nil {
		return err
	}
	l.confirmed.Store(&began)
	for _, c := range l.takeWaiting() {
		c.releaseHeld(began)
	}
	return nil
}

// moveTo moves to a later position of RevocationsID; false if it is not later.
func (l *revocationLease) moveTo(to replay.Cursor) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !to.After(l.applied) {
		return false
	}
	l.applied = to
	return true
}

// close ends the notifications of the store.
func (l *revocationLease) close() {
	l.reading <- struct{}{}
	defer func() { <-l.reading }()
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
}

// ensureValid renews the lease if it is not valid. When it returns nil, acting now
// cannot violate the promise of Revoke.
func (l *revocationLease) ensureValid(ctx context.Context) error {
	if l.isValid() {
		return nil
	}
	return l.confirm(ctx)
}

// addWaiting queues a channel that is released by the next confirmation.
func (l *revocationLease) addWaiting(c *channel) {
	l.mu.Lock()
	l.waiting = append(l.waiting, c)
	l.mu.Unlock()
	l.wakeUp()
}

func (l *revocationLease) takeWaiting() []*channel {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.waiting
	l.waiting = nil
	return waiting
}

func (l *revocationLease) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// renewLease renews the lease as long as there are connections.
func (s *Server) renewLease() {
	timer := time.NewTimer(leaseTime / 2)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.lease.wake:
		case <-s.ctx.Done():
		}
		if s.stopConfirmingIfIdle() {
			return
		}
		if err := s.lease.confirm(s.ctx); err != nil {
			s.log.Warn("revocations cannot be read; commits of other processes are held", "error", err)
		}
		timer.Reset(leaseTime / 2)
	}
}

// beginConfirmingLocked marks renewLease as running where it is needed. If started
// is true, the caller starts it. Server.mu is held.
func (s *Server) beginConfirmingLocked() (started bool) {
	started = s.lease.shared && !s.confirming
	s.confirming = s.confirming || started
	return started
}

// stopConfirmingIfIdle marks renewLease as ended if there are no more connections.
// If stopped is true, the caller, which is renewLease, returns.
func (s *Server) stopConfirmingIfIdle() (stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() == nil && len(s.sessions) > 0 {
		return false
	}
	s.confirming = false
	return true
}

// checkRevocations makes sure, before a connection is accepted, that the server
// knows what was revoked. The error means that it has never known; what it does
// not know yet is applied as soon as the store can be read.
func (s *Server) checkRevocations(ctx context.Context) error {
	if s.lease.isValid() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	err := s.lease.confirm(ctx)
	if err != nil {
		s.log.Warn("revocations cannot be read", "error", err)
	}
	if s.lease.confirmed.Load() != nil {
		return nil
	}
	return err
}

// waitForLeaseExpiry waits until every other server has either confirmed again or
// lost its lease.
func (s *Server) waitForLeaseExpiry(ctx context.Context) error {
	if !s.lease.shared {
		return nil
	}
	timer := time.NewTimer(revokeWait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("realtime: recorded, but other servers may not have applied it yet: %w", ctx.Err())
	}
}

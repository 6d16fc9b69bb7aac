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
// is confirmed, and end when the store can be read and covers them.
//
// Where no other process appends to the store, a revocation is applied inside its
// commit, before Revoke returns, and one confirmation lasts for ever.

const (
	leaseTime  = time.Second
	revokeWait = leaseTime + leaseTime/10
	// admitTimeout bounds how long a new connection waits for a confirmation.
	admitTimeout = 2 * time.Second
)

// freshness knows until when the server may hand over commits. A goroutine keeps
// it while there are connections, where several processes share the store.
type freshness struct {
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
	// reading is filled by the one goroutine that reads. The rest is its: when the
	// last read began, its error, and what ends the notifications.
	reading chan struct{}
	began   time.Time
	err     error
	stop    func()

	mu      sync.Mutex // a leaf; see channel
	applied replay.Cursor
	waiting []*channel // that hold commits
}

func newFreshness(shared bool, read func(context.Context) error) *freshness {
	return &freshness{shared: shared, read: read, wake: make(chan struct{}, 1), reading: make(chan struct{}, 1)}
}

// isValid reports whether commits that have arrived may be handed over.
func (f *freshness) isValid() bool {
	confirmed := f.confirmed.Load()
	if confirmed == nil || !f.shared {
		return confirmed != nil
	}
	return lasts(*confirmed, time.Now())
}

// lasts reports whether a confirmation is valid at a time. The monotonic clock
// stands still while a machine is suspended, and the wall clock may be set back.
func lasts(confirmed, at time.Time) bool {
	return at.Sub(confirmed) < leaseTime && at.Round(0).Sub(confirmed.Round(0)) < leaseTime
}

// covers reports whether what this process knew at a time may be handed over: a
// confirmation that is later, or was valid then, is as good as one that is valid
// now.
func (f *freshness) covers(known time.Time) bool {
	confirmed := f.confirmed.Load()
	return confirmed != nil && !known.IsZero() && lasts(*confirmed, known)
}

// confirm reads what was revoked until now, and has the channels go on. Calls at
// the same time share a read.
func (f *freshness) confirm(ctx context.Context) error {
	asked := time.Now()
	select {
	case f.reading <- struct{}{}:
		defer func() { <-f.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if f.began.After(asked) {
		return f.err
	}
	began := time.Now()
	err := f.read(ctx)
	if ctx.Err() == nil { // otherwise the error says nothing to others
		f.began, f.err = began, err
	}
	if err != nil {
		return err
	}
	f.confirmed.Store(&began)
	for _, c := range f.takeWaiting() {
		c.goOn(began)
	}
	return nil
}

// close ends the notifications of the store.
func (f *freshness) close() {
	f.reading <- struct{}{}
	defer func() { <-f.reading }()
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
}

// ensure makes sure that what was revoked until now is applied, or what happens
// now is before Revoke returns.
func (f *freshness) ensure(ctx context.Context) error {
	if f.isValid() {
		return nil
	}
	return f.confirm(ctx)
}

// await is called by a channel that holds commits.
func (f *freshness) await(c *channel) {
	f.mu.Lock()
	f.waiting = append(f.waiting, c)
	f.mu.Unlock()
	f.wakeUp()
}

func (f *freshness) takeWaiting() []*channel {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting := f.waiting
	f.waiting = nil
	return waiting
}

func (f *freshness) wakeUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// keepFresh confirms as long as there are connections.
func (s *Server) keepFresh() {
	timer := time.NewTimer(leaseTime / 2)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.freshness.wake:
		case <-s.ctx.Done():
		}
		if s.stopsConfirming() {
			return
		}
		if err := s.freshness.confirm(s.ctx); err != nil {
			s.log.Warn("revocations cannot be read; commits of other processes are held", "error", err)
		}
		timer.Reset(leaseTime / 2)
	}
}

// startConfirmingLocked reports whether keepFresh is to be started. Server.mu is
// held.
func (s *Server) startConfirmingLocked() bool {
	start := s.freshness.shared && !s.confirming
	s.confirming = s.confirming || start
	return start
}

// stopsConfirming reports whether there are no more connections.
func (s *Server) stopsConfirming() bool {
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
	if s.freshness.isValid() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	err := s.freshness.confirm(ctx)
	if err != nil {
		s.log.Warn("revocations cannot be read", "error", err)
	}
	if s.freshness.confirmed.Load() != nil {
		return nil
	}
	return err
}

// awaitFreshness waits until every server on the store has applied what was
// appended before, or hands over nothing.
func (s *Server) awaitFreshness(ctx context.Context) error {
	if !s.freshness.shared {
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

package realtime

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// Reauthorize asks AuthorizeSubscribe, and AuthorizeActivity where it was asked
// before, again about the subscriptions of the subjects, or about all if none is given,
// on this server and on every other server on the same store. Call it when what the
// hooks decide by has changed. A subscription that one of them refuses is ended with an
// error frame that has the code of the refusal; ErrExpired ends the connection with 4002.
//
// Before the hooks are called, all these subscriptions begin to hold what is
// committed, until the hooks have returned for them, however slow it is. A refused
// subscriber of this server receives nothing that is committed after that began.
// Once Reauthorize returns a nil error, a refused subscriber of any server receives
// no later commit. The hooks are called for up to 16 subscriptions at once, and one that
// panics refuses.
//
// It returns when the hooks have returned for all subscriptions of this server. It is
// recorded like a revocation (see Revoke), and takes at least as long. Errors are
// those of Manager.Propose and the context's; the hooks are called all the same.
func (s *Server) Reauthorize(ctx context.Context, subjects ...string) error {
	rechecked := s.reauthorize(subjects)
	if err := s.appendToRevocations(ctx, s.reauthorization, reauthorization{Subjects: subjects, Server: s.id}); err != nil {
		return fmt.Errorf("realtime: reauthorize on other servers: %w", err)
	}
	if err := s.waitForLeaseExpiry(ctx); err != nil {
		return err
	}
	return wait(ctx, rechecked)
}

// maxConcurrentRechecks is how many calls of AuthorizeSubscribe one Reauthorize
// makes at once.
const maxConcurrentRechecks = 16

// reauthorize has the subscriptions of the subjects hold what is committed, at
// once, and rechecks them on other goroutines. The channel is closed when all have
// been rechecked. nil subjects are all.
func (s *Server) reauthorize(subjects []string) (rechecked <-chan struct{}) {
	all := make(chan struct{})
	if !s.options.authorizesSubscribe() {
		close(all)
		return all
	}
	s.reauthorizations.Add(1) // first: for subscriptions that are not found yet
	var held []*subscription
	for _, session := range s.openSessions() {
		if len(subjects) == 0 || hasSubject(session.caller(), subjects) {
			held = append(held, session.holdSubscriptions()...)
		}
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(len(held), maxConcurrentRechecks) {
		workers.Add(1)
		if !s.spawn(nil, func() {
			defer workers.Done()
			for i := next.Add(1); i <= int64(len(held)); i = next.Add(1) {
				held[i-1].recheck()
			}
		}) {
			workers.Done() // the server is closing
		}
	}
	if len(held) == 0 || !s.spawn(nil, func() {
		workers.Wait()
		close(all)
	}) {
		close(all)
	}
	return all
}

func hasSubject(caller *sharedata.Caller, subjects []string) bool {
	return caller != nil && slices.Contains(subjects, caller.Subject)
}

// reauthorize rechecks the session's subscriptions, one after the other, after its
// caller was replaced.
func (s *session) reauthorize() {
	if !s.server.options.authorizesSubscribe() {
		return
	}
	for _, sub := range s.holdSubscriptions() {
		sub.recheck()
	}
}

// holdSubscriptions has the subscriptions hold what is committed until recheck.
func (s *session) holdSubscriptions() (held []*subscription) {
	s.mu.Lock()
	for sub := range s.subscriptions.all() {
		held = append(held, sub)
	}
	s.mu.Unlock()
	return slices.DeleteFunc(held, func(sub *subscription) bool { return !sub.beginRecheck() })
}

// authorizationVersion changes whenever earlier decisions of AuthorizeSubscribe
// may be outdated.
func (s *session) authorizationVersion() uint64 {
	return s.server.reauthorizations.Load() + s.callerChanges.Load()
}

// recheckIfOutdated rechecks a subscription that is one of the session's by now, if
// the decision about it was made under a version that is not the current one.
func (s *session) recheckIfOutdated(sub *subscription, version uint64) {
	for now := s.authorizationVersion(); now != version; now = s.authorizationVersion() {
		version = now
		if !sub.beginRecheck() {
			return
		}
		sub.recheck()
	}
}

// recheck asks the hooks again, and ends the subscription if that refuses.
func (s *subscription) recheck() {
	id := s.request.ShareDataID
	defer s.endRecheck() // also after a panic
	if err := s.session.maySubscribe(&s.request); err != nil {
		f := refusal(err, codes.UnauthorizedSubscribe, fmt.Sprintf("not allowed to be subscribed to %.60q any more", id))
		s.endUnauthorized(f.errorFrame(id))
	}
}

// beginRecheck has the subscription hold what is committed until endRecheck.
// It returns false if it has ended.
func (s *subscription) beginRecheck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == ended {
		return false
	}
	s.rechecks++
	return true
}

// endRecheck has the subscription send what it holds, unless another recheck runs.
func (s *subscription) endRecheck() {
	s.mu.Lock()
	s.rechecks--
	s.flushLocked()
	s.mu.Unlock()
	s.session.out.wakeWaiters() // its catchUp may wait for this
}

// endUnauthorized ends the subscription with an error frame, unless it has ended.
func (s *subscription) endUnauthorized(f *frame) {
	if s.endWith(f) {
		s.session.remove(s)
		s.leave()
	}
}

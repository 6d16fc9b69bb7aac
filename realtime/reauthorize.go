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

// Reauthorize asks AuthorizeSubscribe again about the subscriptions of the
// subjects, or about all if none is given, on this server and on every other
// server on the same store. Call it when what the hook decides by has changed. A
// subscription that it refuses is ended with an error frame that has the code of
// the refusal; ErrExpired ends the connection with 4002.
//
// Before the hook is called, all these subscriptions begin to hold what is
// committed, until the hook has answered for them, however slow it is. So a
// subscriber that is refused is sent nothing that is committed from then on, and
// after Reauthorize has returned nil, none on any server is. The hook is called
// up to 16 times at once, and one that panics refuses.
//
// It returns when the hook has answered for all subscriptions of this server. It
// is recorded like a revocation (see Revoke), and takes at least as long. Errors are those of Manager.Propose and
// the context's; the hook is asked all the same.
func (s *Server) Reauthorize(ctx context.Context, subjects ...string) error {
	answered := s.reauthorize(subjects)
	if err := s.announce(ctx, s.reauthorization, reauthorization{Subjects: subjects, Server: s.id}); err != nil {
		return fmt.Errorf("realtime: reauthorize on other servers: %w", err)
	}
	if err := s.waitForLeaseExpiry(ctx); err != nil {
		return err
	}
	return wait(ctx, answered)
}

// maxQuestions is how many calls of AuthorizeSubscribe one Reauthorize makes at
// once.
const maxQuestions = 16

// reauthorize has the subscriptions of the subjects hold what is committed, at
// once, and asks about them on other goroutines. The channel is closed when all
// have been answered. nil subjects are all.
func (s *Server) reauthorize(subjects []string) (answered <-chan struct{}) {
	all := make(chan struct{})
	if s.options.AuthorizeSubscribe == nil {
		close(all)
		return all
	}
	s.generation.Add(1) // first: for subscriptions that are not found yet
	var questions []*subscription
	for _, session := range s.openSessions() {
		if len(subjects) == 0 || hasSubject(session.caller(), subjects) {
			questions = append(questions, session.holdSubscriptions()...)
		}
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(len(questions), maxQuestions) {
		workers.Add(1)
		if !s.spawn(nil, func() {
			defer workers.Done()
			for i := next.Add(1); i <= int64(len(questions)); i = next.Add(1) {
				questions[i-1].askAgain()
			}
		}) {
			workers.Done() // the server is closing
		}
	}
	if len(questions) == 0 || !s.spawn(nil, func() {
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

// reauthorize asks about the session's subscriptions, one after the other, after
// its caller was replaced.
func (s *session) reauthorize() {
	if s.server.options.AuthorizeSubscribe == nil {
		return
	}
	for _, sub := range s.holdSubscriptions() {
		sub.askAgain()
	}
}

// holdSubscriptions has the subscriptions hold what is committed until askAgain.
func (s *session) holdSubscriptions() (held []*subscription) {
	s.mu.Lock()
	for _, sub := range s.subscriptions {
		held = append(held, sub)
	}
	s.mu.Unlock()
	return slices.DeleteFunc(held, func(sub *subscription) bool { return !sub.beginQuestion() })
}

// generations counts what makes earlier answers of AuthorizeSubscribe void.
func (s *session) generations() uint64 {
	return s.server.generation.Load() + s.generation.Load()
}

// confirmSubscription asks again about a subscription that is one of the
// session's by now, if the answer to the first question may be void.
func (s *session) confirmSubscription(sub *subscription, answered uint64) {
	for now := s.generations(); now != answered; now = s.generations() {
		answered = now
		if !sub.beginQuestion() {
			return
		}
		sub.askAgain()
	}
}

// askAgain asks AuthorizeSubscribe, and has the subscription go on or ends it.
func (s *subscription) askAgain() {
	id := s.request.ShareDataID
	defer s.endQuestion() // also after a panic
	if err := s.session.maySubscribe(id); err != nil {
		f := refusal(err, codes.UnauthorizedSubscribe, fmt.Sprintf("not allowed to be subscribed to %.60q any more", id))
		s.refuse(f.errorFrame(id))
	}
}

// beginQuestion has the subscription hold what is committed until endQuestion.
// It returns false if it has ended.
func (s *subscription) beginQuestion() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == ended {
		return false
	}
	s.questions++
	return true
}

// endQuestion has the subscription go on, unless there are other questions.
func (s *subscription) endQuestion() {
	s.mu.Lock()
	s.questions--
	s.flushLocked()
	s.mu.Unlock()
	s.session.out.wakeWaiters() // its catchUp may wait for the answer
}

// refuse ends the subscription with an error frame, unless it has ended.
func (s *subscription) refuse(f frame) {
	if s.endWith(f) {
		s.session.remove(s)
		s.leave()
	}
}

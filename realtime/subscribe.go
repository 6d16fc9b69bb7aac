package realtime

import (
	"errors"
	"fmt"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// subscribe begins a subscription and ends the one before to the same
// ShareData: nothing of that is sent after the new state, or after a refusal.
func (s *session) subscribe(m *wire.Subscribe) {
	id := m.ShareDataID
	if s.isClosing() {
		return
	}
	if !s.maySubscribe(id) {
		s.unsubscribe(id)
		s.out.send(errorFrame(codes.UnauthorizedSubscribe, id, fmt.Sprintf("not allowed to subscribe to %q", id)))
		return
	}
	c, ok := s.acquire(id)
	s.unsubscribe(id)
	if !ok {
		return
	}
	if !s.catchUp(c, m.Since) {
		c.hub.release(c)
		return
	}
	sub := &subscription{session: s, id: id, since: m.Since, lifecycle: m.ReplayLifecycle, channel: c}
	if !s.add(sub) {
		c.hub.release(c)
		return
	}
	s.start(sub)
}

// unsubscribe ends a subscription, if there is one.
func (s *session) unsubscribe(id string) {
	s.mu.Lock()
	sub := s.subscriptions[id]
	delete(s.subscriptions, id)
	s.mu.Unlock()
	if sub != nil {
		sub.end()
	}
}

// add makes a subscription one of the session's, unless that has too many or
// is closing.
func (s *session) add(sub *subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if most := s.server.options.MaxSubscriptions; len(s.subscriptions) >= most {
		s.out.send(errorFrame(codes.TooManySubscriptions, sub.id, fmt.Sprintf("a connection may have %d subscriptions; unsubscribe from one first", most)))
		return false
	}
	s.subscriptions[sub.id] = sub
	return true
}

// acquire returns the channel of a ShareData, and tells the peer if there is
// none.
func (s *session) acquire(id string) (*channel, bool) {
	c, err := s.server.hub.acquire(s.ctx, id)
	switch {
	case err == nil:
		return c, true
	case s.ctx.Err() != nil:
	case errors.Is(err, sharedata.ErrUnknownShareData), errors.Is(err, sharedata.ErrInvalidID):
		s.out.send(errorFrame(codes.UnknownShareData, id, fmt.Sprintf("there is no ShareData %q", id)))
		s.close(codes.CloseUnknownShareData, "unknown ShareData")
	default:
		s.unavailable(id, err)
	}
	return nil, false
}

// catchUp makes sure that this process knows as much of the ShareData as its
// subscriber, who may have been told more by another process that was faster: he
// must neither be shown an older state nor be told that his cursor is unknown.
// It returns false, and tells the peer, if the store cannot be asked.
func (s *session) catchUp(c *channel, since string) bool {
	if !isAhead(since, c.position()) {
		return true
	}
	_, err := s.server.manager.Refresh(s.ctx, c.id)
	if err == nil || errors.Is(err, sharedata.ErrUnknownShareData) {
		return true // the channel has learned of it
	}
	if s.ctx.Err() == nil {
		s.unavailable(c.id, err)
	}
	return false
}

func (s *session) unavailable(id string, err error) {
	s.server.log.Warn("subscribe failed", "shareData", id, "error", err)
	s.out.send(errorFrame(codes.Unavailable, id, "the ShareData cannot be read at the moment; subscribe again later"))
}

// maySubscribe asks the application.
func (s *session) maySubscribe(id string) bool {
	ask := s.server.options.AuthorizeSubscribe
	return ask == nil || s.allowed("AuthorizeSubscribe", func() error { return ask(s.ctx, s.info.Caller, id) })
}

package realtime

import (
	"errors"
	"fmt"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// subscribe begins a subscription and ends the one before to the same
// ShareData: nothing of that is sent after the new state, or after a refusal.
func (s *session) subscribe(m *wire.Subscribe) {
	id := m.ShareDataID
	m.ReplayLifecycle = m.ReplayLifecycle || m.Patches // what changes a state may be an update
	s.closeIfExpired()
	if s.isClosing() {
		return
	}
	if isReserved(id) {
		s.sendUnknown(m)
		return
	}
	version := s.authorizationVersion()
	if err := s.maySubscribe(m); err != nil {
		s.unsubscribe(id)
		f := refusal(err, codes.UnauthorizedSubscribe, fmt.Sprintf("not allowed to subscribe to %.60q", id))
		s.out.send(f.refusalFrame(id, m.CorrelationID))
		return
	}
	c, ok := s.acquire(m)
	s.unsubscribe(id)
	if !ok {
		return
	}
	if !s.refresh(c, m) {
		c.hub.release(c)
		return
	}
	if m.Conflate {
		s.transport.boundUnsent()
	}
	sub := &subscription{session: s, request: *m, form: formOf(m, s.protocol), channel: c}
	if !s.add(sub) {
		c.hub.release(c)
		return
	}
	s.recheckIfOutdated(sub, version)
	s.startCatchUp(sub)
}

// unsubscribe ends a subscription, if there is one.
func (s *session) unsubscribe(id string) {
	s.mu.Lock()
	sub := s.subscriptions.get(id)
	s.subscriptions.delete(id)
	s.mu.Unlock()
	if sub != nil {
		sub.end()
	}
}

// replyUnsubscribed replies in an application's protocol; our own has no such frame.
func (s *session) replyUnsubscribed(m *wire.Unsubscribe) {
	if s.protocol == nil || m.CorrelationID == "" {
		return
	}
	f := newFrame(kindEncoded, m.ShareDataID, replay.Cursor{})
	s.protocol.encode(f, &Message{Type: MessageUnsubscribed, ShareDataID: m.ShareDataID, CorrelationID: m.CorrelationID})
	s.out.send(f)
}

// add makes a subscription one of the session's, unless that has too many or
// is closing.
func (s *session) add(sub *subscription) bool {
	added, full := s.addWithin(sub)
	if full {
		s.awaitSends()
		added, full = s.addWithin(sub)
	}
	if most := s.server.options.MaxSubscriptions; full {
		f := failure{code: codes.TooManySubscriptions, text: fmt.Sprintf("a connection may have %d subscriptions; unsubscribe from one first", most)}
		s.out.send(f.refusalFrame(sub.request.ShareDataID, sub.request.CorrelationID))
	}
	return added
}

func (s *session) addWithin(sub *subscription) (added, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return false, false
	case s.subscriptions.len() >= s.server.options.MaxSubscriptions:
		return false, true
	}
	s.subscriptions.set(sub.request.ShareDataID, sub)
	return true, false
}

// awaitSends returns when the subscriptions that have just sent the end of a ShareData are
// no longer the session's: their peer may have seen it already.
func (s *session) awaitSends() {
	s.mu.Lock()
	var all []*subscription
	for sub := range s.subscriptions.all() {
		all = append(all, sub)
	}
	s.mu.Unlock()
	for _, sub := range all {
		sub.hasEnded() // waits
	}
}

// acquire returns the channel of a ShareData. If there is none, it sends that.
func (s *session) acquire(m *wire.Subscribe) (*channel, bool) {
	id := m.ShareDataID
	c, err := s.server.hub.acquire(&s.ctx, id)
	switch {
	case err == nil:
		return c, true
	case s.ctx.Err() != nil:
	case errors.Is(err, sharedata.ErrUnknownShareData), errors.Is(err, sharedata.ErrInvalidID):
		s.sendUnknown(m)
	default:
		s.sendUnavailable(m, err)
	}
	return nil, false
}

// refresh makes sure that this process knows as much of the ShareData as the
// subscriber, who may have been sent more by another process that was faster:
// it must neither be shown an older state nor be told that its cursor is
// unknown. It returns false, and sends why, if the store cannot be asked.
func (s *session) refresh(c *channel, m *wire.Subscribe) bool {
	if !isAhead(m.Since, c.position()) {
		return true
	}
	_, err := s.server.manager.Refresh(&s.ctx, c.id)
	if err == nil || errors.Is(err, sharedata.ErrUnknownShareData) {
		return true // the channel has been notified of it
	}
	if s.ctx.Err() == nil {
		s.sendUnavailable(m, err)
	}
	return false
}

// sendUnknown says that there is no ShareData and, unless the subscriber asked for
// the connection to be kept, closes it.
func (s *session) sendUnknown(m *wire.Subscribe) {
	f := failure{code: codes.UnknownShareData, text: unknownText(m.ShareDataID)}
	s.out.send(f.refusalFrame(m.ShareDataID, m.CorrelationID))
	if !m.KeepConnection {
		s.close(codes.CloseUnknownShareData, "unknown ShareData")
	}
}

func unknownText(id string) string { return fmt.Sprintf("there is no ShareData %.60q", id) }

func (s *session) sendUnavailable(m *wire.Subscribe, err error) {
	s.server.log.Warn("subscribe failed", "shareData", m.ShareDataID, "error", err)
	f := failure{code: codes.Unavailable, text: "the ShareData cannot be read at the moment; subscribe again later"}
	s.out.send(f.refusalFrame(m.ShareDataID, m.CorrelationID))
}

// errNoActivity refuses activity where no hook says who may see it.
var errNoActivity = &Refusal{Message: "this server shows nobody who proposed what; subscribe without activity"}

// maySubscribe asks the application; nil means yes.
func (s *session) maySubscribe(m *wire.Subscribe) error {
	c := s.currentCaller.Load()
	if ask := s.server.options.AuthorizeSubscribe; ask != nil {
		err := s.authorize("AuthorizeSubscribe", func() error { return ask(c.connCtx, c.caller, m.ShareDataID) })
		if err != nil {
			return err
		}
	}
	if !m.Activity {
		return nil
	}
	ask := s.server.options.AuthorizeActivity
	if ask == nil {
		return errNoActivity
	}
	return s.authorize("AuthorizeActivity", func() error { return ask(c.connCtx, c.caller, m.ShareDataID) })
}

package checker

import (
	"github.com/safe-go/safe/internal/wire"
)

// Subscriber records the frames that one party is sent about one ShareData.
type Subscriber struct{ log *log }

// Subscribed records that a subscribe is about to be sent. since is its
// cursor; empty for none. It is one that asks for replayed lifecycle frames: to
// who does not, updates are missing from the replay by design.
func (s *Subscriber) Subscribed(since string) { s.log.add(record{kind: subscribed, text: since}) }

// Frame records a frame that was received. Frames about other ShareData, and
// those that are not about a subscription, are ignored. An error frame
// replay-cursor-not-found without a ShareData is taken to be about this one,
// any other error frame that names it for the refusal of a subscribe.
func (s *Subscriber) Frame(frame wire.ServerMessage) {
	s.log.keepState(frame)
	if rec, ok := s.log.recordOf(frame); ok {
		s.log.add(rec)
	}
}

// Unsubscribed records that an unsubscribe is about to be sent. Frames that
// were under way may still come.
func (s *Subscriber) Unsubscribed() { s.log.add(record{kind: unsubscribed}) }

// Disconnected records that the connection is gone. code is that of the close
// frame, 0 where there was none.
func (s *Subscriber) Disconnected(code int) {
	s.log.add(record{kind: disconnected, number: uint64(max(code, 0))})
}

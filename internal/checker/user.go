package checker

import (
	"github.com/safe-go/safe/internal/wire"
)

// User records what a reconnecting client delivers of one ShareData to its
// user: frames as events, over any number of connections.
type User struct{ log *log }

// Subscribed records that a subscription is begun. from is the cursor to
// continue from; empty for none. The first one without a cursor need not be
// recorded.
func (u *User) Subscribed(from string) { u.log.add(record{kind: subscribed, text: from}) }

// State records a snapshot. resumed is what the user was told: that nothing
// was missed. Only the place and the state in the frame are read.
func (u *User) State(frame *wire.State, resumed bool) {
	u.log.keepState(frame)
	if rec, ok := u.log.recordOf(frame); ok {
		rec.resumed, rec.counted, rec.number = resumed, false, 0
		u.log.add(rec)
	}
}

// Frame records a transaction or lifecycle event; anything else is ignored.
func (u *User) Frame(frame wire.ServerMessage) {
	switch frame.(type) {
	case *wire.Transaction, *wire.Lifecycle:
		u.log.keepState(frame)
		if rec, ok := u.log.recordOf(frame); ok {
			u.log.add(rec)
		}
	}
}

// Gap records that the user was told that something was missed.
func (u *User) Gap() { u.log.add(record{kind: gap}) }

// Closed records that the user ended the subscription: it need not be complete.
func (u *User) Closed() { u.log.add(record{kind: unsubscribed}) }

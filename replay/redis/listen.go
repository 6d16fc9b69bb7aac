package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// listen hears what the server says until something goes wrong.
func (l *line) listen(ctx context.Context, conn *goredis.PubSub) error {
	for {
		said, err := conn.ReceiveTimeout(ctx, l.following.store.settings.maxSilence)
		if err != nil {
			return err
		}
		switch said := said.(type) {
		case *goredis.Message:
			l.announced(said.Channel, said.Payload)
		case *goredis.Subscription:
			switch said.Kind {
			case "subscribe", "ssubscribe":
				l.subscribed(said.Channel)
			case "unsubscribe", "sunsubscribe":
				l.unsubscribed(said.Channel)
			}
		}
	}
}

// announced passes an announcement on. One that is not understood is that
// something was appended.
func (l *line) announced(channel, payload string) {
	a, err := parseAnnouncement(payload)
	f := l.following
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[channel]
	if t == nil || t.line != l {
		return
	}
	switch {
	case err != nil:
		t.changes++
	case a.removed:
		t.noteLocked(mark{})
	default:
		t.noteLocked(mark{cursor: a.last, token: a.token})
	}
	f.tellLocked(t, a.entries)
}

// subscribed notes that from now on nothing is missed.
func (l *line) subscribed(channel string) {
	f := l.following
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.unheard--; l.unheard < 0 {
		l.unheard = 0
	}
	if l.unheard == maxUnheard/2 || l.unheard == 0 {
		signal(l.wake)
	}
	if t := f.topics[channel]; t != nil && t.line == l && t.sent {
		t.heard, t.knows = true, false
		f.freshLocked(t)
	}
}

// unsubscribed notes the end of a subscription. Where nobody has asked for it,
// the server has lost the slot to another one.
func (l *line) unsubscribed(channel string) {
	f := l.following
	f.mu.Lock()
	if l.ending[channel] > 1 {
		l.ending[channel]--
		f.mu.Unlock()
		return
	}
	asked := l.ending[channel] == 1
	delete(l.ending, channel)
	t := f.topics[channel]
	if !asked && t != nil && t.line == l {
		t.sent = false // so it need not be told
		f.leaveLocked(t)
		f.strayLocked(t)
	}
	f.mu.Unlock()
	if !asked {
		f.store.servers.refresh()
	}
}

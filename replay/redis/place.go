package redis

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// How often something is tried again that needs a server.
const (
	firstAgainAfter = 50 * time.Millisecond
	lastAgainAfter  = time.Second
)

func newPause() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstAgainAfter), backoff.WithMaxInterval(lastAgainAfter),
		backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0),
	)
}

// place gives each stray to the line of the server that has its history.
func (f *following) place(ctx context.Context) {
	pause := newPause()
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.strayed:
		case <-again:
		}
		again = nil
		if err := f.placeAll(ctx); err != nil {
			again = time.After(pause.NextBackOff())
			continue
		}
		pause.Reset()
	}
}

// placeAll fails with the first stray whose server is not known, and leaves it
// and those after it for the next time.
func (f *following) placeAll(ctx context.Context) error {
	f.mu.Lock()
	strays := f.strays
	f.strays = nil
	f.mu.Unlock()
	for i, t := range strays {
		v, err := f.serverOf(ctx, t)
		if err != nil {
			f.mu.Lock()
			f.strays = append(f.strays, strays[i:]...)
			f.mu.Unlock()
			return v.failed(ctx, err)
		}
		f.mu.Lock()
		f.placeLocked(t, v)
		f.mu.Unlock()
	}
	return nil
}

func (f *following) serverOf(ctx context.Context, t *topic) (*server, error) {
	ctx, cancel := f.store.within(ctx)
	defer cancel()
	return f.store.servers.of(ctx, t.keys.head)
}

func (f *following) placeLocked(t *topic, v *server) {
	if len(t.follows) == 0 || t.line != nil || f.closed {
		return
	}
	l := f.lines[v]
	if l == nil {
		l = newLine(f, v)
		f.lines[v] = l
		f.store.spawn(l.run)
	}
	l.topics[t] = struct{}{}
	l.joined = append(l.joined, t)
	t.line = l
	signal(l.wake)
}

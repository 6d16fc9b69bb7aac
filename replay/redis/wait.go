package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/safe-go/safe/replay"
)

// maxMoves is how often a slot may have moved while a batch is on its way.
const maxMoves = 5

// How often to ask where a slot is that has moved, and how many times.
const (
	moveAfter = 10 * time.Millisecond
	maxAsked  = 100
)

var errMoved = errors.New("MOVED, again and again")

// runAndWait runs a script and then waits until enough replicas have what it
// changed. Both go down one connection, because WAIT asks for what was done on
// its own.
func (s *Store) runAndWait(ctx context.Context, v *server, c *call) (any, error) {
	for range maxMoves {
		answer, err := s.runAndWaitAt(ctx, v, c)
		if err == nil || !isAnswer(err, "MOVED") {
			return answer, err
		}
		// Unlike a single command, these are not sent on by the client.
		if v, err = s.moved(ctx, v, c); err != nil {
			return nil, err
		}
	}
	return nil, unavailable(v.name, "the slot moves from server to server", errMoved)
}

func (s *Store) runAndWaitAt(ctx context.Context, v *server, c *call) (any, error) {
	conn := v.client.Conn()
	defer conn.Close()
	answer, err := s.evalOn(ctx, conn.Process, c)
	if err != nil || codeOf(answer) != codeCommitted {
		return answer, err
	}
	milliseconds := max(1, s.settings.waitTimeout.Milliseconds())
	count, err := s.ask(ctx, conn.Process, "wait", s.settings.waitReplicas, milliseconds)
	if err != nil {
		return nil, err
	}
	if have, _ := count.(int64); have < int64(s.settings.waitReplicas) {
		return nil, fmt.Errorf("redis: %w: %s: the batch is committed there, but %d of %d replicas have it after %v, so it may have taken effect and may be lost by a failover; see how far the replicas are behind, or raise WaitTimeout",
			replay.ErrUnavailable, v.name, have, s.settings.waitReplicas, s.settings.waitTimeout)
	}
	return answer, nil
}

// moved finds the server that has the history now. The client learns of it in
// the background.
func (s *Store) moved(ctx context.Context, from *server, c *call) (*server, error) {
	s.servers.refresh()
	for range maxAsked {
		v, err := s.servers.of(ctx, c.keys.head)
		if err != nil || v != from {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(moveAfter):
		}
	}
	return from, nil
}

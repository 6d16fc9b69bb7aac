package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/safe-go/safe/replay"
)

// A server that loses its data, as by FLUSHALL or by a restart without a file,
// has neither the histories nor the tombstones of removed ones. A process that
// follows a history goes on serving it from memory and restarts it in a later
// epoch as soon as it notices the loss. Until then, no other process may be told
// that the history does not exist. So Load and Read of a missing history return
// ErrNotFound only where a tombstone says that it was removed, where this Store
// follows it, or where nobody does.

// settleTime is how long followers get to subscribe again after a server was
// restarted or replaced.
const settleTime = 5 * time.Second

// headOrMissing runs a script that begins its arguments with those of missing()
// in history.lua, and reads what its reply begins with.
func (s *Store) headOrMissing(ctx context.Context, id string, c *call) (head replay.Head, r *reply, err error) {
	publish := s.publish
	if s.following.follows(c.keys.channel) {
		publish = ""
	}
	c.args = append([]any{publish, c.keys.channel}, c.args...)
	answer, err := s.eval(ctx, c)
	if err != nil {
		return head, nil, named(id, err)
	}
	if codeOf(answer) == codeMissing {
		return head, nil, s.missing(id, c.server, body(answer))
	}
	return headOf(id, answer)
}

// missing is the error for a history that the server does not have and that was
// not removed.
func (s *Store) missing(id string, v *server, r *reply) error {
	followers, runID := r.number(), r.text()
	if r.err != nil {
		return damaged(id, r.err.Error())
	}
	v.noteRun(runID)
	switch {
	case followers > 0:
		return fmt.Errorf("redis: %w: %.60q is not on the server, but %d processes follow it; they were notified and can restart it; try again",
			replay.ErrUnavailable, id, followers)
	case s.settling():
		return fmt.Errorf("redis: %w: %.60q is not on the server, which was restarted or replaced less than %v ago; processes that follow it may not have subscribed again yet; try again",
			replay.ErrUnavailable, id, settleTime)
	}
	return replay.ErrNotFound
}

// noteRun notes which run of its program the server is in. Another one than
// before is a restart, or another server in the place of the first.
func (v *server) noteRun(runID string) {
	v.mu.Lock()
	restarted := v.runID != "" && runID != "" && v.runID != runID
	if runID != "" {
		v.runID = runID
	}
	v.mu.Unlock()
	if restarted {
		v.store.noteRestart()
	}
}

func (s *Store) noteRestart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarted = time.Now()
}

// settling reports whether followers may not have subscribed again yet.
func (s *Store) settling() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.restarted.IsZero() && time.Since(s.restarted) < settleTime
}

// follows reports whether this Store follows a history.
func (f *following) follows(channel string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.topics[channel] != nil
}

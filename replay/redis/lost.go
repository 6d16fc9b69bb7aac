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
// epoch as soon as it notices the loss. Until then, no other process may report
// that the history does not exist. So Load and Read of a missing history return
// ErrNotFound only where a tombstone says that it was removed, where this Store
// follows it, or where nobody does.

// settleTime is how long followers get to subscribe again after a server was
// restarted or replaced.
const settleTime = 5 * time.Second

// evalExisting runs a script whose arguments begin with those of missing.lua, and
// reads what its reply begins with.
func (s *Store) evalExisting(ctx context.Context, id string, c *call) (head replay.Head, r *reply, err error) {
	publish := s.publish
	if s.following.follows(c.keys.channel) {
		publish = ""
	}
	c.args = append(append(make([]any, 0, 2+len(c.args)), publish, c.keys.channel), c.args...)
	result, err := s.eval(ctx, c)
	if err != nil {
		return head, nil, named(id, err)
	}
	if codeOf(result) == codeMissing {
		return head, nil, s.missing(id, c.server, afterCode(result))
	}
	return headOf(id, result)
}

// missing is the error for a history that the server does not have and that was
// not removed.
func (s *Store) missing(id string, server *server, r *reply) error {
	followers, runID := r.number(), r.text()
	if r.err != nil {
		return damaged(id, r.err.Error())
	}
	server.noteRun(runID)
	switch {
	case followers > 0:
		return fmt.Errorf("redis: %w: %.60q is not on the server, but has followers in other processes (%d); they were notified and can restart it; try again",
			replay.ErrUnavailable, id, followers)
	case s.settling():
		return fmt.Errorf("redis: %w: %.60q is not on the server, which was restarted or replaced less than %v ago; processes that follow it may not have subscribed again yet; try again",
			replay.ErrUnavailable, id, settleTime)
	}
	return replay.ErrNotFound
}

// noteRun notes which run of its program the server is in. Another one than
// before is a restart, or another server in the place of the first.
func (srv *server) noteRun(runID string) {
	srv.mu.Lock()
	restarted := srv.runID != "" && runID != "" && srv.runID != runID
	if runID != "" {
		srv.runID = runID
	}
	srv.mu.Unlock()
	if restarted {
		srv.store.noteRestart()
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

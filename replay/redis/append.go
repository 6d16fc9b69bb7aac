package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/safe-go/safe/replay"
)

// What a batch may have at most. A server takes it in one command and does it
// in one step, during which it serves no other client.
const (
	maxBatchEntries = 100_000
	maxBatchBytes   = 768 << 20 // a server takes up to 1 GiB
)

const (
	// slack is how many entries more than Options.MaxEntries are kept, so that
	// not every append has to trim.
	slack = 100
	// maxMissed is the largest number of entries in ConflictError.Missed.
	maxMissed = 1000
	// tombstoneKept is how long the tombstone of a removed history is kept.
	tombstoneKept = 30 * 24 * time.Hour
)

// Append implements replay.Store. It is done in one atomic step. If the
// connection breaks before the reply, it is sent again, and a batch that was
// committed the first time is recognised. Where the history was removed, trimmed or
// lost meanwhile, so that this cannot be known, Append fails with an error that wraps
// replay.ErrUnavailable, not with a conflict. A batch may have 100,000 entries and
// 768 MiB; a second more than Options.Timeout is allowed for each 32 MiB, but the
// client's ReadTimeout and WriteTimeout must allow for it too.
func (s *Store) Append(ctx context.Context, id string, batch replay.Batch) error {
	if err := s.checkOpen(ctx); err != nil {
		return err
	}
	size, err := validate(&batch)
	if err != nil {
		return err
	}
	k := s.naming.keys(id)
	token := rand.Text()
	c := &call{script: appendScript, keys: &k, args: s.appendArguments(&k, &batch, token), size: size}
	for {
		result, err := s.eval(ctx, c)
		if err != nil {
			return named(id, err)
		}
		r := afterCode(result)
		switch code := codeOf(result); code {
		case codeCommitted:
			s.committed(&k, &batch, token, r)
			if r.err == nil {
				return nil
			}
		case codeMoved, codeReplaced, codeKnown, codeReserved:
			conflict := &replay.ConflictError{ID: id, Expected: batch.Expect, Head: batch.Expect}
			retry, err := s.readConflict(ctx, conflict, code, &batch, r)
			if retry {
				continue
			}
			if err != nil {
				return err
			}
			if r.err == nil {
				return conflict
			}
		case codeDamaged:
			return damaged(id, r.text())
		case codeUnknown:
			return inDoubt(id, c)
		default:
			r.fail("its code is unknown")
		}
		return damaged(id, r.err.Error())
	}
}

// inDoubt is the error for a batch that was sent again, where the server cannot tell
// whether it took, or will take, effect.
func inDoubt(id string, c *call) error {
	reason := fmt.Sprintf("the connection broke before the reply to an append to %.60q; it was sent again, and the history does not show whether it took effect", id)
	return unavailable(c.server.name, reason, c.broken)
}

// validate says what is wrong with a batch, and how many bytes it has.
func validate(batch *replay.Batch) (size int, err error) {
	if err := batch.Validate(); err != nil {
		return 0, err
	}
	size = len(batch.Meta) + len(batch.ExpectMeta) + len(batch.Snapshot)
	for i := range batch.Entries {
		entry := &batch.Entries[i]
		size += len(entry.Key) + len(entry.Data)
	}
	if len(batch.Entries) > maxBatchEntries || size > maxBatchBytes {
		return 0, fmt.Errorf("redis: %w: it has %d entries and %d bytes; append it in parts of at most %d entries and %d bytes",
			replay.ErrInvalidBatch, len(batch.Entries), size, maxBatchEntries, maxBatchBytes)
	}
	return size, nil
}

// The flags of a batch are one of the arguments of append.lua.
const (
	flagsArgument = 1
	repeatedFlag  = "a" // it is sent again
)

// appendArguments returns the arguments of append.lua.
func (s *Store) appendArguments(k *keys, batch *replay.Batch, token string) []any {
	expect, flags := "", ""
	if !batch.Expect.IsZero() {
		expect = batch.Expect.String()
		if batch.ExpectMeta != nil {
			flags += "m"
		}
	}
	if batch.Starts() {
		flags += "o"
	}
	if batch.NewKeys {
		flags += "k"
	}
	if batch.Remove {
		flags += "r"
	}
	age := s.options.MaxAge.Milliseconds()
	if s.options.MaxAge > 0 {
		age = max(age, 1)
	}
	args := make([]any, 0, 19+3*len(batch.Entries))
	args = append(args,
		expect, flags, batch.ExpectMeta, strconv.FormatUint(batch.Last().Epoch, 10), token, batch.Meta,
		s.options.MaxEntries, s.options.MaxBytes, age, slack,
		s.publish, k.channel, announce(batch, token), int64(tombstoneKept/time.Second),
		maxMissed, maxReplyBytes, s.name, reservationOf(batch), batch.Snapshot)
	for i := range batch.Entries {
		entry := &batch.Entries[i]
		args = append(args, entry.Cursor.String(), entry.Key, entry.Data)
	}
	return args
}

// committed reads the reply for a batch that was committed.
func (s *Store) committed(k *keys, batch *replay.Batch, token string, r *reply) {
	head := r.cursor()
	switch {
	case batch.Remove && head.IsZero():
		s.following.appended(k.channel, version{})
	case head == batch.Last():
		s.following.appended(k.channel, version{cursor: head, token: token})
	}
}

// readConflict reads the reply for a batch that was refused. The batch is to be
// tried again if the reason is gone.
func (s *Store) readConflict(ctx context.Context, conflict *replay.ConflictError, code string, batch *replay.Batch, r *reply) (retry bool, err error) {
	switch code {
	case codeMoved:
		conflict.Reason, conflict.Head = replay.ConflictMoved, r.cursor()
		if r.number() == 1 {
			conflict.Reason = replay.ConflictRemoved
		}
		missed := r.entries()
		if len(missed) > 0 && continues(batch.Expect, missed) && missed[len(missed)-1].Cursor == conflict.Head {
			conflict.Missed = missed
		}
	case codeReplaced:
		conflict.Reason = replay.ConflictReplaced
	case codeReserved:
		reserved(conflict, r)
	case codeKnown:
		conflict.Reason = replay.ConflictKnownKeys
		left := r.number()
		if conflict.Known = r.entries(); left > 0 {
			// They are too large for one reply.
			conflict.Known, err = s.Find(ctx, conflict.ID, keysOf(batch))
		}
		return err == nil && r.err == nil && len(conflict.Known) == 0, err
	}
	return false, nil
}

func keysOf(batch *replay.Batch) []string {
	var all []string
	for i := range batch.Entries {
		all = append(all, batch.Entries[i].Key)
	}
	return all
}

// maxMoves is how often a slot may move while a batch is on its way.
const maxMoves = 5

// How often to ask where a slot is that has moved, and how many times.
const (
	movedPause = 10 * time.Millisecond
	maxAsked   = 100
)

var errMoved = errors.New("MOVED, several times")

// runAndWait runs append.lua and then waits until enough replicas have the batch.
// Both use one connection, because WAIT asks for what was done on its own.
func (s *Store) runAndWait(ctx context.Context, server *server, c *call) (any, error) {
	for range maxMoves {
		result, err := s.runAndWaitOn(ctx, server, c)
		if err == nil || !isReply(err, "MOVED") {
			return result, err
		}
		// The client does not redirect what uses one connection.
		if server, err = s.moved(ctx, server, c); err != nil {
			return nil, err
		}
	}
	return nil, unavailable(server.name, "the slot moves from server to server", errMoved)
}

func (s *Store) runAndWaitOn(ctx context.Context, server *server, c *call) (any, error) {
	conn := server.client.Conn()
	defer conn.Close()
	result, err := evalOn(ctx, conn.Process, c)
	if err != nil || codeOf(result) != codeCommitted {
		return result, err
	}
	milliseconds := max(1, s.options.WaitTimeout.Milliseconds())
	count, err := do(ctx, conn.Process, "wait", s.options.WaitReplicas, milliseconds)
	if err != nil {
		return nil, err
	}
	if have, _ := count.(int64); have < int64(s.options.WaitReplicas) {
		return nil, fmt.Errorf("redis: %w: %s: the batch is committed there, but %d of %d replicas have it after %v, so it may have taken effect and may be lost by a failover; see how far the replicas are behind, or raise WaitTimeout",
			replay.ErrUnavailable, server.name, have, s.options.WaitReplicas, s.options.WaitTimeout)
	}
	return result, nil
}

// moved finds the server that has the history now. The client learns of it in the
// background.
func (s *Store) moved(ctx context.Context, from *server, c *call) (*server, error) {
	s.servers.refresh()
	for range maxAsked {
		server, err := s.servers.of(ctx, c.keys.head)
		if err != nil || server != from {
			return server, err
		}
		select {
		case <-ctx.Done():
			return server, ctx.Err()
		case <-time.After(movedPause):
		}
	}
	return from, nil
}

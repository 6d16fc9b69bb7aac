package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/safe-go/safe/replay"
)

// What a batch may have at most. A server takes it in one command and does it
// in one step, during which it serves nobody else.
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
	// maxClaim is the longest claim to the next turn.
	maxClaim = time.Second
	// endingKept is how long it is remembered where a removed history ended.
	endingKept = 30 * 24 * time.Hour
)

// Append implements replay.Store. It is done in one atomic step. If the
// connection breaks before the answer, it is sent again, and a batch that was
// committed the first time is recognised. A batch may have 100,000 entries and
// 768 MiB; a second more than Options.Timeout is allowed for each 32 MiB, but the
// client's ReadTimeout and WriteTimeout must allow for it too.
func (s *Store) Append(ctx context.Context, id string, batch replay.Batch) error {
	if err := s.usable(ctx); err != nil {
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
		answer, err := s.eval(ctx, c)
		if err != nil {
			return named(id, err)
		}
		r := body(answer)
		switch codeOf(answer) {
		case codeCommitted:
			s.committed(&k, &batch, token, r)
			if r.err == nil {
				return nil
			}
		case codeMoved, codeReplaced, codeKnown, codeClaimed:
			conflict := &replay.ConflictError{ID: id, Expected: batch.Expect, Head: batch.Expect}
			again, err := s.refusal(ctx, conflict, codeOf(answer), &batch, r)
			if again {
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
		default:
			r.fail("its code is unknown")
		}
		return damaged(id, r.err.Error())
	}
}

// validate says what is wrong with a batch, and how many bytes it has.
func validate(batch *replay.Batch) (size int, err error) {
	if err := batch.Validate(); err != nil {
		return 0, err
	}
	size = len(batch.Meta) + len(batch.ExpectMeta)
	for i := range batch.Entries {
		entry := &batch.Entries[i]
		size += len(entry.Key) + len(entry.Data) + len(entry.State)
	}
	if len(batch.Entries) > maxBatchEntries || size > maxBatchBytes {
		return 0, fmt.Errorf("redis: %w: it has %d entries and %d bytes; append it in parts of at most %d entries and %d bytes",
			replay.ErrInvalidBatch, len(batch.Entries), size, maxBatchEntries, maxBatchBytes)
	}
	return size, nil
}

// appendArguments are those of append.lua.
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
	age := s.settings.maxAge.Milliseconds()
	if s.settings.maxAge > 0 {
		age = max(age, 1)
	}
	claim := min(batch.Reserve, maxClaim).Milliseconds()
	args := make([]any, 0, 18+4*len(batch.Entries))
	args = append(args,
		expect, flags, batch.ExpectMeta, strconv.FormatUint(batch.Last().Epoch, 10), token, batch.Meta,
		s.settings.maxEntries, s.settings.maxBytes, age, slack,
		s.publish, k.channel, announce(batch, token), int64(endingKept/time.Second), maxMissed, maxReplyBytes, s.name, claim)
	for i := range batch.Entries {
		entry := &batch.Entries[i]
		args = append(args, entry.Cursor.String(), entry.Key, entry.Data, entry.State)
	}
	return args
}

// committed reads what the script says of a batch that was committed.
func (s *Store) committed(k *keys, batch *replay.Batch, token string, r *reply) {
	head := r.cursor()
	r.number()
	if reason := r.text(); reason != "" && s.deaf.CompareAndSwap(false, true) {
		s.settings.logger.Warn("announcements do not work, so that other processes learn of appends late; the user needs the permission to publish on the store's channels",
			"channel", k.channel, "error", reason)
	}
	last := batch.Last()
	switch {
	case batch.Remove && head.IsZero():
		s.following.note(k.channel, mark{})
	case head == last:
		s.following.note(k.channel, mark{cursor: head, token: token})
	}
}

// refusal fills in what the script says of a batch that was refused. The batch
// is to be tried again if the reason is gone.
func (s *Store) refusal(ctx context.Context, conflict *replay.ConflictError, code string, batch *replay.Batch, r *reply) (again bool, err error) {
	switch code {
	case codeMoved:
		conflict.Reason, conflict.Head = replay.ConflictMoved, r.cursor()
		if r.number() == 1 {
			conflict.Reason = replay.ConflictRemoved
		}
		r.number()
		missed := r.entries()
		if len(missed) > 0 && continues(batch.Expect, missed) && missed[len(missed)-1].Cursor == conflict.Head {
			conflict.Missed = missed
		}
	case codeReplaced:
		conflict.Reason = replay.ConflictReplaced
	case codeClaimed:
		conflict.Reason = replay.ConflictReserved
		conflict.ReservedFor = max(time.Duration(r.number())*time.Millisecond, time.Millisecond)
	case codeKnown:
		conflict.Reason = replay.ConflictKnownKeys
		left := r.number()
		if conflict.Known = r.entries(); left > 0 {
			// They are too large for one answer.
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

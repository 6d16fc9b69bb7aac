package redis

import (
	"context"
	"errors"

	"github.com/safe-go/safe/replay"
)

// maxKeys is how many keys are looked for in one step.
const maxKeys = 1000

// Find implements replay.Store. Of a history that was started over it finds the
// entries from before as well, as long as they are kept.
func (s *Store) Find(ctx context.Context, id string, wanted []string) ([]replay.Entry, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	k := s.naming.keys(id)
	distinct := without(wanted)
	for {
		entries, whole, err := s.find(ctx, id, &k, distinct)
		if errors.Is(err, replay.ErrNotFound) {
			return nil, nil
		}
		if err != nil || whole {
			return entries, err
		}
	}
}

// find looks for the keys in as many steps as it takes. It is not whole if the
// history became another one on the way.
func (s *Store) find(ctx context.Context, id string, k *keys, wanted []string) (entries []replay.Entry, whole bool, err error) {
	var epoch uint64
	for len(wanted) > 0 {
		some := wanted[:min(len(wanted), maxKeys)]
		args := make([]any, 0, 1+len(some))
		args = append(args, maxReplyBytes)
		for _, key := range some {
			args = append(args, key)
		}
		answer, err := s.eval(ctx, &call{script: findScript, keys: k, args: args})
		if err != nil {
			return nil, false, named(id, err)
		}
		head, r, err := headOf(id, answer)
		if err != nil {
			return nil, false, err
		}
		if epoch != 0 && head.Cursor.Epoch != epoch {
			return nil, false, nil
		}
		epoch = head.Cursor.Epoch
		done, found := r.number(), r.entries()
		if r.err == nil && (done < 1 || done > int64(len(some))) {
			r.fail("it has looked for none of the keys")
		}
		if r.err != nil {
			return nil, false, damaged(id, r.err.Error())
		}
		entries = append(entries, found...)
		wanted = wanted[done:]
	}
	return entries, true, nil
}

// without returns the keys each once, and without the empty one, which is none.
func without(wanted []string) []string {
	seen := make(map[string]bool, len(wanted))
	var distinct []string
	for _, key := range wanted {
		if key != "" && !seen[key] {
			seen[key] = true
			distinct = append(distinct, key)
		}
	}
	return distinct
}

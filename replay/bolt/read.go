package bolt

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"math"
	"sort"
	"time"

	"github.com/safe-go/safe/replay"
)

// Load implements replay.Store. A snapshot that is left out is not read.
func (s *Store) Load(ctx context.Context, id string, have replay.Cursor) (head replay.Head, err error) {
	err = s.view(ctx, func(r *reader) error {
		head, err = r.load(id, have)
		return err
	})
	if err != nil {
		return replay.Head{}, err
	}
	return head, nil
}

// Read implements replay.Store. The entries are read at once and held in memory,
// so the limit bounds the memory that they take.
func (s *Store) Read(ctx context.Context, id string, after replay.Cursor, limit int) (entries []replay.Entry, err error) {
	return s.read(ctx, id, after, limit, math.MaxUint64)
}

func (s *Store) read(ctx context.Context, id string, after replay.Cursor, limit int, maxBytes uint64) (entries []replay.Entry, err error) {
	err = s.view(ctx, func(r *reader) error {
		entries, err = r.read(id, after, limit, maxBytes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Find implements replay.Store. Of a history that was restarted it finds
// the entries from before as well, as long as they are kept.
func (s *Store) Find(ctx context.Context, id string, keys []string) (entries []replay.Entry, err error) {
	err = s.view(ctx, func(r *reader) error {
		h, err := r.head(id)
		if err != nil {
			return err
		}
		entries, err = r.findKeys(h, keys)
		return err
	})
	switch {
	case errors.Is(err, replay.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return entries, nil
}

// The bounds of how many ids are read at once.
const (
	idsAtOnce     = 1000
	idBytesAtOnce = 1 << 20
)

// IDs implements replay.Store. No transaction is open while it yields, so the
// loop may take its time and use the store.
func (s *Store) IDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		from := idKey("")
		for {
			var ids []string
			err := s.view(ctx, func(r *reader) (err error) {
				ids, err = r.ids(from)
				return err
			})
			if err != nil {
				yield("", err)
				return
			}
			if len(ids) == 0 {
				return
			}
			for _, id := range ids {
				if err := ctx.Err(); err != nil {
					yield("", err)
					return
				}
				if !yield(id, nil) {
					return
				}
			}
			from = append(idKey(ids[len(ids)-1]), 0) // the next key that there can be
		}
	}
}

// reader answers questions about histories in one transaction. It sees no entry
// that is older than MaxAge, unless the entry is later than the newest snapshot.
type reader struct {
	content
	// expired is the time, in milliseconds since 1970, before which the entries
	// were appended that are too old now.
	expired int64
	// rolledBack is the epoch of the last rollback.
	rolledBack uint64
}

// neverExpired is a reader.expired that no entry is older than.
const neverExpired = -1

// expiredAt returns the reader.expired of a time.
func (r *retention) expiredAt(now time.Time) int64 {
	if r.maxAge == math.MaxInt64 {
		return neverExpired
	}
	return now.Add(-r.maxAge).UnixMilli()
}

// head returns the head of a history, or ErrNotFound.
func (r *reader) head(id string) (*head, error) {
	payload, found, err := r.get(headsBucket, idKey(id))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, replay.ErrNotFound
	}
	return decodeHead(payload)
}

// load returns what Store.Load does, copied.
func (r *reader) load(id string, have replay.Cursor) (replay.Head, error) {
	h, err := r.head(id)
	if err != nil {
		return replay.Head{}, err
	}
	oldest, err := r.oldest(h)
	if err != nil {
		return replay.Head{}, err
	}
	head := replay.Head{
		Cursor:           h.cursor,
		Oldest:           oldest,
		SnapshotRevision: h.snapshot,
		Meta:             clone(h.meta),
		RestartAfter:     r.restartAfter(h),
	}
	if head.CanContinue(have) {
		return head, nil
	}
	head.Snapshot, err = r.snapshot(h)
	return head, err
}

// clone copies bytes and makes nil of none.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// oldest returns the oldest revision that may be returned. Of the entries that
// are too old, some may still be in the file.
func (r *reader) oldest(h *head) (uint64, error) {
	first := h.oldest()
	if r.expired == neverExpired {
		return first, nil
	}
	// The times of entries never decrease towards the head. None after the snapshot
	// is too old; first is the one after it at most.
	var failed error
	n := sort.Search(int(h.snapshot+1-first), func(i int) bool {
		e, err := r.entry(h.number, replay.Cursor{Epoch: h.cursor.Epoch, Revision: first + uint64(i)})
		if err != nil {
			failed = err
		}
		return e.at >= r.expired
	})
	return first + uint64(n), failed
}

// entry returns an entry that the file must have.
func (r *reader) entry(number uint64, at replay.Cursor) (entry, error) {
	payload, found, err := r.get(entriesBucket, entryKey(number, at))
	if err != nil {
		return entry{}, err
	}
	if !found {
		return entry{}, missing(at)
	}
	return decodeEntry(payload)
}

func missing(at replay.Cursor) error {
	return inBucket(entriesBucket, damaged("entry %s of a history is missing", at))
}

// errTooLarge: there is more than was allowed to be read.
var errTooLarge = errors.New("more than is read at once")

// read returns what Store.Read does, copied, or errTooLarge once that is more
// than maxBytes.
func (r *reader) read(id string, after replay.Cursor, limit int, maxBytes uint64) ([]replay.Entry, error) {
	h, err := r.head(id)
	if err != nil {
		return nil, err
	}
	oldest, err := r.oldest(h)
	if err != nil {
		return nil, err
	}
	if err := (replay.Head{Cursor: h.cursor, Oldest: oldest}).Check(id, after); err != nil {
		return nil, err
	}
	n := min(h.cursor.Revision-after.Revision, uint64(max(limit, 0)))
	if n == 0 {
		return nil, nil
	}
	entries := make([]replay.Entry, 0, min(n, 1<<10))
	next, size := after.Next(), uint64(0)
	err = r.scan(entriesBucket, entryKey(h.number, next), func(key, payload []byte) (bool, error) {
		if number, at, ok := parseEntryKey(key); !ok || number != h.number || at != next {
			return false, missing(next)
		}
		e, err := decodeEntry(payload)
		if err != nil {
			return false, err
		}
		if size += e.size(); size > maxBytes {
			return false, errTooLarge
		}
		entries = append(entries, e.entry(next))
		next = next.Next()
		n--
		return n > 0, nil
	})
	if err == nil && n > 0 {
		err = missing(next)
	}
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// findKeys returns the newest entry of each of the keys in a history, copied. A
// key finds nothing where its entry is too old.
func (r *reader) findKeys(h *head, keys []string) ([]replay.Entry, error) {
	var found []replay.Entry
	seen := make(map[replay.Cursor]bool) // a key may be asked for twice
	for _, key := range keys {
		if key == "" {
			continue
		}
		at, known, err := r.byKey(h.number, key)
		if err != nil {
			return nil, err
		}
		if !known || seen[at] {
			continue
		}
		e, err := r.entry(h.number, at)
		if err != nil {
			return nil, err
		}
		if string(e.key) != key {
			return nil, inBucket(keysBucket, damaged("key %.40q leads to entry %s, which has another", key, at))
		}
		if e.at >= r.expired || h.afterSnapshot(at) {
			found, seen[at] = append(found, e.entry(at)), true
		}
	}
	return found, nil
}

// byKey returns the position of the newest entry that carries a key.
func (r *reader) byKey(number uint64, key string) (at replay.Cursor, found bool, err error) {
	payload, found, err := r.get(keysBucket, keyKey(number, key))
	if err != nil || !found {
		return replay.Cursor{}, false, err
	}
	p := parser{rest: payload}
	at = p.cursor()
	if p.bad {
		return replay.Cursor{}, false, inBucket(keysBucket, damaged("the position of a key is not encoded as this store does"))
	}
	return at, true, nil
}

// ids returns some ids in order, whose keys begin at one.
func (r *reader) ids(from []byte) (ids []string, err error) {
	bytes := 0
	err = r.scan(headsBucket, from, func(key, _ []byte) (bool, error) {
		ids = append(ids, string(key[1:]))
		bytes += len(key)
		return len(ids) < idsAtOnce && bytes < idBytesAtOnce, nil
	})
	return ids, err
}

// restartAfter is the epoch after which a history has to restart because the file
// was rolled back; 0 if it need not.
func (r *reader) restartAfter(h *head) uint64 {
	if h.cursor.Epoch > r.rolledBack {
		return 0
	}
	return r.rolledBack
}

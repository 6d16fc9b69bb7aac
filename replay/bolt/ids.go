package bolt

import (
	"context"
	"iter"
)

// The bounds of how many ids are looked up at once.
const (
	idsAtOnce     = 1000
	idBytesAtOnce = 1 << 20
)

// IDs implements replay.Store. Nothing is held open while it yields, so the
// loop may take its time and use the store.
func (s *Store) IDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		after := ""
		for begun := false; ; begun = true {
			var ids []string
			err := s.view(ctx, func(r reading) (err error) {
				ids, err = r.idsAfter(after, begun)
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
			after = ids[len(ids)-1]
		}
	}
}

// idsAfter returns some ids in order: those that follow one, or the first.
func (r reading) idsAfter(after string, begun bool) ([]string, error) {
	var ids []string
	cursor := r.bucket(headsBucket).Cursor()
	key, value := cursor.Seek(idKey(after))
	if begun && string(key) == string(idKey(after)) {
		key, value = cursor.Next()
	}
	for bytes := 0; key != nil && len(ids) < idsAtOnce && bytes < idBytesAtOnce; key, value = cursor.Next() {
		if _, err := headsBucket.unseal(key, value); err != nil {
			return nil, err
		}
		ids = append(ids, string(key[1:]))
		bytes += len(key)
	}
	return ids, nil
}

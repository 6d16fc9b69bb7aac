package bolt

import (
	"bytes"

	bbolt "go.etcd.io/bbolt"

	"github.com/safe-go/safe/replay"
)

// content is the file as one transaction sees it. What it returns is shared
// with the file unless it says otherwise, and valid as long as the transaction.
type content struct {
	tx *bbolt.Tx
}

// bucket returns a bucket. All are there: the check at open saw them.
func (c content) bucket(b bucket) *bbolt.Bucket { return c.tx.Bucket(b.name) }

// get returns the payload under a key.
func (c content) get(b bucket, key []byte) (payload []byte, found bool, err error) {
	value := c.bucket(b).Get(key)
	if value == nil {
		return nil, false, nil
	}
	payload, err = b.unseal(key, value)
	return payload, err == nil, err
}

// put stores a payload, which must not be used afterwards.
func (c content) put(b bucket, key, payload []byte) error {
	return c.bucket(b).Put(key, b.seal(key, payload))
}

func (c content) delete(b bucket, key []byte) error {
	return c.bucket(b).Delete(key)
}

// deletePrefix deletes up to limit keys that begin with the prefix, and returns
// how many those were. A cursor of bbolt must not be used across deletions, so
// they are looked up first.
func (c content) deletePrefix(b bucket, prefix []byte, limit int) (int, error) {
	var keys [][]byte
	cursor := c.bucket(b).Cursor()
	for key, _ := cursor.Seek(prefix); bytes.HasPrefix(key, prefix) && len(keys) < limit; key, _ = cursor.Next() {
		keys = append(keys, bytes.Clone(key))
	}
	for _, key := range keys {
		if err := c.delete(b, key); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

// head returns the head of a history, or ErrNotFound.
func (c content) head(id string) (*head, error) {
	payload, found, err := c.get(headsBucket, idKey(id))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, replay.ErrNotFound
	}
	return decodeHead(payload)
}

// entry returns an entry that the file must have.
func (c content) entry(number uint64, at replay.Cursor) (entry, error) {
	payload, found, err := c.get(entriesBucket, entryKey(number, at))
	if err != nil {
		return entry{}, err
	}
	if !found {
		return entry{}, damaged("entry %s of a history is missing", at)
	}
	return decodeEntry(payload)
}

// state returns the newest state of a history; nil if there is none.
func (c content) state(h *head) ([]byte, error) {
	if h.state == 0 {
		return nil, nil
	}
	if !h.apart {
		e, err := c.entry(h.number, replay.Cursor{Epoch: h.cursor.Epoch, Revision: h.state})
		return e.state, err
	}
	state, found, err := c.get(statesBucket, numberKey(h.number))
	if err == nil && !found {
		err = damaged("the state of a history is missing")
	}
	return state, err
}

// byKey returns the position of the newest entry that carries a key.
func (c content) byKey(number uint64, key string) (at replay.Cursor, found bool, err error) {
	payload, found, err := c.get(keysBucket, keyKey(number, key))
	if err != nil || !found {
		return replay.Cursor{}, false, err
	}
	p := parser{rest: payload}
	at = p.cursor()
	if p.bad {
		return replay.Cursor{}, false, damaged("the position of a key is not encoded as this store does")
	}
	return at, true, nil
}

package bolt

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	bbolt "go.etcd.io/bbolt"
)

// bucket is a bucket of the file. All are flat and shared by all histories, so
// that a history costs some bytes and not some pages.
type bucket struct {
	name  []byte
	index int
	// sum is the checksum of the name, with which that of every value begins.
	sum uint32
}

// The buckets of the file. A history is known by its id in heads only.
// Everything else goes by its number, which no other history ever has, so that
// nothing of a removed history can come back under the same id.
var (
	// format: what this file is, and what is counted for all histories alike.
	formatBucket = newBucket(0, "format")
	// heads: id -> head.
	headsBucket = newBucket(1, "heads")
	// entries: number, epoch, revision -> entry.
	entriesBucket = newBucket(2, "entries")
	// keys: number, hash of an idempotency key -> position of the newest entry
	// that carries it.
	keysBucket = newBucket(3, "keys")
	// states: number, part -> a part of the newest snapshot.
	snapshotsBucket = newBucket(4, "states")
	// ended: id -> tombstone.
	tombstonesBucket = newBucket(5, "ended")
	// endings: time, number -> id. It has the tombstones in the order of time.
	tombstoneTimesBucket = newBucket(6, "endings")
	// removed: number of a removed history that entries, keys or parts of the
	// snapshot are left of.
	removedBucket = newBucket(7, "removed")

	buckets = []*bucket{formatBucket, headsBucket, entriesBucket, keysBucket,
		snapshotsBucket, tombstonesBucket, tombstoneTimesBucket, removedBucket}
)

const bucketCount = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newBucket(index int, name string) *bucket {
	return &bucket{name: []byte(name), index: index, sum: crc32.Checksum([]byte(name), castagnoli)}
}

func bucketNamed(name []byte) *bucket {
	for _, b := range buckets {
		if bytes.Equal(b.name, name) {
			return b
		}
	}
	return nil
}

// checksumBytes is what seal appends.
const checksumBytes = 4

// checksum covers the key besides the payload: a value that turns up under
// another key, or in another bucket, is damage as well.
func (b *bucket) checksum(key, payload []byte) uint32 {
	sum := crc32.Update(b.sum^uint32(len(key)), castagnoli, key)
	return crc32.Update(sum, castagnoli, payload)
}

// seal makes a value of a payload, in place if there is room behind it.
func (b *bucket) seal(key, payload []byte) []byte {
	return binary.LittleEndian.AppendUint32(payload, b.checksum(key, payload))
}

// unseal returns the payload of a value, which it shares.
func (b *bucket) unseal(key, value []byte) ([]byte, error) {
	end := len(value) - checksumBytes
	if end < 0 || binary.LittleEndian.Uint32(value[end:]) != b.checksum(key, value[:end]) {
		return nil, inBucket(b, damaged("the checksum of the value of key %.40x is wrong", key))
	}
	return value[:end], nil
}

// checkLeaf verifies the checksums of all values in a leaf.
func (b *bucket) checkLeaf(p page) error {
	for i := range p.count() {
		if p.elementFlags(i) != 0 {
			return damagedPage(p.id(), "element %d is a bucket", i)
		}
		if _, err := b.unseal(p.key(i), p.value(i)); err != nil {
			return damagedPage(p.id(), "the checksum of the value of key %.40x is wrong", p.key(i))
		}
	}
	return nil
}

// Each bucket but format has a first and a last key besides its elements. No key
// of an element is before or behind them, so a root that does not lead to both is
// not the bucket's root. The first key is different in each bucket, as any other
// key is: so a page of another bucket is recognized by its keys.
func (b *bucket) firstKey() []byte { return make([]byte, b.index) }

var lastKey = []byte{0xFF}

// content is the file as one transaction sees it. What it returns is shared
// with the file unless it says otherwise, and valid as long as the transaction.
type content struct {
	tx *bbolt.Tx
	// pages has no verifier in a file that this process has just made.
	pages verifiedPages
	// opened are the buckets that were used, by index.
	opened [bucketCount]*bbolt.Bucket
	// steps is the memory of find.
	steps [4]step
}

// bucket returns a bucket of bbolt. All are there: Open has seen them.
func (c *content) bucket(b *bucket) *bbolt.Bucket {
	if c.opened[b.index] == nil {
		c.opened[b.index] = c.tx.Bucket(b.name)
	}
	return c.opened[b.index]
}

// find verifies the pages on the path to a key and, where the key is beyond the
// last one of its leaf, the next leaf: so it is certain that a key is missing.
func (c *content) find(b *bucket, key []byte) (path []step, err error) {
	if c.pages.verifier == nil {
		return nil, nil
	}
	if path, err = c.pages.find(c.steps[:0], b, key); err != nil {
		return nil, err
	}
	leaf := path[len(path)-1].page
	if n := leaf.count(); n == 0 || bytes.Compare(key, leaf.key(n-1)) > 0 {
		err = c.pages.beside(b, path, 1)
	}
	return path, err
}

// get returns the payload under a key.
func (c *content) get(b *bucket, key []byte) (payload []byte, found bool, err error) {
	path, err := c.find(b, key)
	if err != nil {
		return nil, false, err
	}
	var value []byte
	if path == nil || c.tx.Writable() {
		value = c.bucket(b).Get(key)
	} else {
		value = path[len(path)-1].page.get(key)
	}
	if value == nil {
		return nil, false, nil
	}
	payload, err = b.unseal(key, value)
	return payload, err == nil, err
}

// put stores a payload, which must not be used afterwards.
func (c *content) put(b *bucket, key, payload []byte) error {
	if _, err := c.find(b, key); err != nil {
		return err
	}
	return c.bucket(b).Put(key, b.seal(key, payload))
}

// delete deletes a key. bbolt may then merge the key's page with those beside
// it, when it commits.
func (c *content) delete(b *bucket, key []byte) error {
	path, err := c.find(b, key)
	if err != nil {
		return err
	}
	if path != nil {
		c.pages.written.merges = true
		if err := c.pages.siblings(b, path); err != nil {
			return err
		}
		for _, direction := range []int{-1, 1} {
			if err := c.pages.beside(b, path, direction); err != nil {
				return err
			}
		}
	}
	return c.bucket(b).Delete(key)
}

// scan calls visit with the elements of a bucket from a key on, until visit
// returns false. visit must not use the content.
//
// In a transaction that writes, bbolt knows what has changed. The next leaf is
// verified before its cursor can reach it. The cursor passes a leaf that the
// transaction has emptied, but delete has verified the leaves beside it.
func (c *content) scan(b *bucket, from []byte, visit func(key, payload []byte) (more bool, err error)) error {
	path, err := c.find(b, from)
	if err != nil {
		return err
	}
	if path != nil && !c.tx.Writable() {
		return c.scanPages(b, path, from, visit)
	}
	cursor := c.bucket(b).Cursor()
	for key, value := cursor.Seek(from); key != nil && !bytes.Equal(key, lastKey); key, value = cursor.Next() {
		if path != nil {
			if to := path[len(path)-1].to; to != nil && bytes.Compare(key, to) >= 0 {
				if path, err = c.find(b, key); err != nil {
					return err
				}
			}
			leaf := path[len(path)-1].page
			if n := leaf.count(); n == 0 || bytes.Compare(key, leaf.key(n-1)) >= 0 {
				if err := c.pages.beside(b, path, 1); err != nil {
					return err
				}
			}
		}
		payload, err := b.unseal(key, value)
		if err != nil {
			return err
		}
		if more, err := visit(key, payload); err != nil || !more {
			return err
		}
	}
	return nil
}

// scanPages is scan where nothing was written.
func (c *content) scanPages(b *bucket, path []step, from []byte, visit func(key, payload []byte) (more bool, err error)) error {
	for moved := true; moved; {
		leaf := path[len(path)-1].page
		for i := leaf.searchFrom(from); i < leaf.count(); i++ {
			key := leaf.key(i)
			if bytes.Equal(key, lastKey) {
				return nil
			}
			payload, err := b.unseal(key, leaf.value(i))
			if err != nil {
				return err
			}
			if more, err := visit(key, payload); err != nil || !more {
				return err
			}
		}
		var err error
		if moved, err = c.pages.move(b, path, 1); err != nil {
			return err
		}
	}
	return nil
}

// beforeCommit verifies what bbolt reads when it commits.
func (c *content) beforeCommit() error {
	if c.pages.verifier == nil || !c.pages.written.merges {
		return nil
	}
	return c.pages.verifyParents()
}

// deletePrefix deletes up to limit keys that begin with the prefix, and returns
// how many those were. A cursor of bbolt must not be used across deletions, so
// they are looked up first.
func (c *content) deletePrefix(b *bucket, prefix []byte, limit int) (int, error) {
	var keys [][]byte
	err := c.scan(b, prefix, func(key, _ []byte) (bool, error) {
		if !bytes.HasPrefix(key, prefix) || len(keys) == limit {
			return false, nil
		}
		keys = append(keys, bytes.Clone(key))
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		if err := c.delete(b, key); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Check reads all of a file of this store that is not open and says what is
// damaged, as a *DamageError, at the first place that it finds: every page is
// what it should be and where it should be, no page is used twice or is in use
// and free, all keys are in order, and the checksum of every value is right. It
// changes nothing. It reads at the speed of the disk; a file of many gigabytes
// takes minutes.
//
// It fails with ErrLocked where a Store has the file open, and with ErrForeign
// where the file is none of this store. A page that is neither in use nor free
// is no damage: it costs its room and nothing else. Check a backup before you
// rely on it.
func Check(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("bolt: the current folder is not known; give an absolute path: %w", err)
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("bolt: %s cannot be opened: %w", path, err)
	}
	defer file.Close()
	if err := lock(file); err != nil {
		return withAdvice(path, err)
	}
	c, partly, err := newFileCheck(file)
	if err == nil {
		err = c.root()
	}
	if err == nil {
		err = c.trees()
	}
	if err == nil && partly {
		err = damaged("the checksum of meta page %d is wrong; the next Open rolls all histories back", 1-c.meta.at)
	}
	return withAdvice(path, c.failed(path, err))
}

// fileCheck verifies a file by reading it, before or without bbolt, which reads
// a file as memory and trusts it.
type fileCheck struct {
	file io.ReaderAt
	size int64
	meta meta
	// used are the pages that were seen in use, and free those that are listed as
	// free.
	used, free pageSet
	// format is the version of the format that the file is kept in.
	format uint64
	// elements are those of the root.
	elements []rootElement
}

// newFileCheck reads the meta pages and the list of free pages. It reports
// whether one meta page was partly written.
func newFileCheck(file *os.File) (c *fileCheck, partly bool, err error) {
	c = &fileCheck{file: file}
	info, err := file.Stat()
	if err != nil {
		return c, false, err
	}
	if !info.Mode().IsRegular() {
		return c, false, fmt.Errorf("%w: it is not a regular file", ErrForeign)
	}
	c.size = info.Size()
	partly, err = c.begin()
	return c, partly, err
}

func (c *fileCheck) begin() (partly bool, err error) {
	if c.meta, partly, err = readMeta(c.file, c.size); err != nil {
		return false, err
	}
	c.used = newPageSet(c.meta.pages)
	return partly, nil
}

// failed returns what the error of a check means for the file.
func (c *fileCheck) failed(path string, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrDamaged), errors.Is(err, ErrForeign):
		return err
	case errors.Is(err, io.EOF):
		return damaged("it ends too early")
	}
	return unavailable(path, err)
}

// root verifies the root of the file: that it is a file of this store, its
// buckets, what is in the small ones, and the list of free pages.
func (c *fileCheck) root() (err error) {
	if err := c.readRoot(); err != nil {
		return err
	}
	// First, because a root that leads to a free page need not have the format.
	if c.free, err = readFreelist(c.file, &c.meta, c.used); err != nil {
		return err
	}
	if err := c.checkFormat(); err != nil {
		return err
	}
	roots := make(map[uint64]bool)
	for _, e := range c.elements {
		b, id, inside, err := e.bucket()
		switch {
		case err != nil:
			return err
		case inside != nil:
			if err := b.checkLeaf(inside); err != nil {
				return inBucket(b, err)
			}
		case id < 2 || id >= c.meta.pages || c.used.has(id) || c.free.has(id) || roots[id]:
			return inBucket(b, damaged("its root cannot be page %d", id))
		case !c.leadsTo(id, b.firstKey(), 0) || !c.leadsTo(id, lastKey, 1):
			return inBucket(b, damagedPage(id, "it is not the root of the bucket"))
		}
		roots[id] = true
	}
	return nil
}

// leadsTo reports whether the first (0) or the last (1) key below a page is the
// given one. It is true where that cannot be read, because of damage that is
// found when the key's page is used.
func (c *fileCheck) leadsTo(id uint64, key []byte, end int) bool {
	for range maxDepth {
		p, err := readPage(c.file, &c.meta, id)
		if err != nil || p.count() == 0 {
			return true
		}
		i := end * (p.count() - 1)
		if p.isLeaf() {
			return bytes.Equal(p.key(i), key)
		}
		id = p.child(i)
	}
	return false
}

// checkFormat says, as an ErrForeign, why this store cannot have written the
// file. All buckets have to be there.
func (c *fileCheck) checkFormat() error {
	var name, version []byte
	known := len(c.elements) == len(buckets)
	for _, e := range c.elements {
		b, _, inside, err := e.bucket()
		if b == nil {
			known = false
		}
		if b != formatBucket || err != nil || inside == nil { // it is always small
			continue
		}
		for j := range inside.count() {
			payload, err := formatBucket.unseal(inside.key(j), inside.value(j))
			switch string(inside.key(j)) {
			case nameKey:
				name = payload
			case versionKey:
				version = payload
			}
			if err != nil && known {
				return err
			}
		}
	}
	if string(name) != formatName {
		return fmt.Errorf("%w: it is a bbolt file of another program", ErrForeign)
	}
	p := parser{rest: version}
	if c.format = p.number(); c.format < stateFormat || c.format > formatVersion {
		return fmt.Errorf("%w: it is kept in format %d, and this version of the program knows only formats %d and %d; use the version that wrote it",
			ErrForeign, c.format, stateFormat, formatVersion)
	}
	if !known {
		return damaged("it does not have the buckets that it should have")
	}
	return nil
}

// trees verifies everything below the root.
func (c *fileCheck) trees() error {
	for _, e := range c.elements {
		b, id, _, err := e.bucket()
		if err == nil && id != 0 {
			leaves := -1
			err = c.tree(b, id, nil, nil, 0, &leaves)
		}
		if err != nil {
			return inBucket(b, err)
		}
	}
	return nil
}

// tree verifies a page and those below it. Its first key has to be from, unless
// that is nil, and its last one less than to. All leaves have to be
// on the level of the first one.
func (c *fileCheck) tree(b *bucket, id uint64, from, to []byte, depth int, leaves *int) error {
	if depth > maxDepth {
		return damagedPage(id, "it is more than %d levels deep", maxDepth)
	}
	p, err := readPage(c.file, &c.meta, id)
	if err != nil {
		return err
	}
	for i := range p.overflow() + 1 {
		if !c.used.add(id+i) || c.free.has(id+i) {
			return damagedPage(id+i, "it is used twice, or used and free")
		}
	}
	n := p.count()
	switch {
	case n == 0 && (p.isBranch() || depth > 0):
		return damagedPage(id, "it is empty")
	case from != nil && !bytes.Equal(p.key(0), from):
		return damagedPage(id, "it does not begin with the key that leads to it")
	case n > 0 && to != nil && bytes.Compare(p.key(n-1), to) >= 0:
		return damagedPage(id, "its last key belongs to another page")
	case p.isLeaf():
		if *leaves < 0 {
			*leaves = depth
		}
		if *leaves != depth {
			return damagedPage(id, "it is on another level than the leaves before it")
		}
		return b.checkLeaf(p)
	}
	for i := range n {
		below := to
		if i+1 < n {
			below = p.key(i + 1)
		}
		if err := c.tree(b, p.child(i), p.key(i), below, depth+1, leaves); err != nil {
			return err
		}
	}
	return nil
}

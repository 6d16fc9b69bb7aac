package bolt

import (
	"bytes"
	"errors"
	"io"
)

// check looks at all of a file before bbolt does. bbolt has a check of its own,
// but one that looks at the file as memory, in a goroutine of its own, where
// what a damaged page does to it ends the process.
//
// It finds every page that is not where, or not what, it should be; every
// element that is out of order or between the pages of somebody else; every
// value with a wrong checksum; and every page that is in use and free at once,
// which the next write would overwrite. It does not mind a page that is neither
// in use nor free: that costs its room and nothing else.
type check struct {
	file io.ReaderAt
	meta meta
	// used and free are the pages that were seen in use, and in the list of free ones.
	used, free pageSet
	// all says that everything is read, and not only what leads to the format.
	all bool
	// name and version are the payloads that checkFormat is given.
	name, version []byte
}

// maxDepth is more levels than a tree has whose every branch has two children.
const maxDepth = 64

// checkFile checks a file of the given size, all of it or what has to be known
// to use it, and returns its meta.
func checkFile(file io.ReaderAt, size int64, all bool) (meta, error) {
	m, err := readMeta(file, size)
	if err != nil {
		return meta{}, err
	}
	c := &check{file: file, meta: m, all: all, used: newPageSet(m.pages), free: newPageSet(m.pages)}
	err = c.run()
	if errors.Is(err, io.EOF) {
		err = damaged("it ends too early")
	}
	return m, err
}

func (c *check) run() error {
	root, err := readPage(c.file, &c.meta, c.meta.root)
	if err != nil {
		return err
	}
	if err := c.format(&root); err != nil {
		return err
	}
	if err := c.readFree(); err != nil {
		return err
	}
	if !c.all {
		return nil
	}
	return c.tree(c.meta.root, limits{}, 0, func(e *element) error {
		b, err := bucketOf(e)
		if err != nil {
			return err
		}
		return c.bucket(e, func(e *element) error { return checkElement(b, e) })
	})
}

// format looks for the names of the buckets, and for what the file is.
func (c *check) format(root *page) error {
	var format *element
	known := root.leaf && len(root.elements) == len(buckets())
	for i := range root.elements {
		b, err := bucketOf(&root.elements[i])
		known = known && err == nil
		if bytes.Equal(b.name, formatBucket.name) {
			format = &root.elements[i]
		}
	}
	if format != nil {
		if err := c.bucket(format, c.formatElement); err != nil && known {
			return err
		}
		c.used = newPageSet(c.meta.pages) // it is visited again with the others
	}
	if err := checkFormat(c.name, c.version); err != nil {
		return err
	}
	if !known {
		return damaged("it does not have the buckets that it should have")
	}
	return nil
}

func (c *check) formatElement(e *element) error {
	payload, err := formatBucket.unseal(e.key, e.value)
	switch string(e.key) {
	case nameKey:
		c.name = payload
	case versionKey:
		c.version = payload
	}
	return err
}

// bucketOf returns which bucket an element of the root is.
func bucketOf(e *element) (bucket, error) {
	for _, b := range buckets() {
		if e.bucket && bytes.Equal(b.name, e.key) {
			return b, nil
		}
	}
	return bucket{}, damaged("there should be no bucket %.40q", e.key)
}

// checkElement checks a value of a bucket.
func checkElement(b bucket, e *element) error {
	if e.bucket {
		return damaged("there is a bucket inside %q", b.name)
	}
	_, err := b.unseal(e.key, e.value)
	return err
}

// bucketHeaderBytes is how the value of a bucket begins: its root page and its
// sequence. A small bucket has no root page, and follows right there.
const bucketHeaderBytes = 16

// bucket visits the elements of a bucket of the root.
func (c *check) bucket(e *element, visit func(*element) error) error {
	if len(e.value) < bucketHeaderBytes {
		return damaged("bucket %q has no root", e.key)
	}
	if root := native.Uint64(e.value); root != 0 {
		return c.tree(root, limits{}, 0, visit)
	}
	p, err := parsePage(e.value[bucketHeaderBytes:])
	if err != nil {
		return err
	}
	if !p.leaf {
		return damaged("bucket %q has its root inside, but that is a branch", e.key)
	}
	return c.elements(&p, limits{}, 0, visit)
}

// limits are between which keys the elements of a page must be.
type limits struct {
	// from is the smallest key allowed, and to the smallest that is not. Nil: any.
	from, to []byte
}

// tree visits the elements of a page and of those below it.
func (c *check) tree(id uint64, within limits, depth int, visit func(*element) error) error {
	if depth > maxDepth {
		return damaged("page %d is %d levels deep", id, depth)
	}
	p, err := readPage(c.file, &c.meta, id)
	if err != nil {
		return err
	}
	for i := range p.pages {
		if !c.used.set(id+i) || c.free.has(id+i) {
			return damaged("page %d is used twice, or used and free", id+i)
		}
	}
	if len(p.elements) == 0 && (!p.leaf || depth > 0) {
		return damaged("page %d is empty", id)
	}
	return c.elements(&p, within, depth, visit)
}

// elements checks the order of a page's elements and visits them, or those of
// the pages below.
func (c *check) elements(p *page, within limits, depth int, visit func(*element) error) error {
	for i := range p.elements {
		e := &p.elements[i]
		if i > 0 && bytes.Compare(p.elements[i-1].key, e.key) >= 0 ||
			within.from != nil && bytes.Compare(e.key, within.from) < 0 ||
			within.to != nil && bytes.Compare(e.key, within.to) >= 0 {
			return damaged("element %d of page %d is out of order", i, p.id)
		}
		if p.leaf {
			if err := visit(e); err != nil {
				return err
			}
			continue
		}
		below := limits{from: e.key, to: within.to}
		if i+1 < len(p.elements) {
			below.to = p.elements[i+1].key
		}
		if err := c.tree(e.child, below, depth+1, visit); err != nil {
			return err
		}
	}
	return nil
}

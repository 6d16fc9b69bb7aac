package bolt

import "bytes"

// The root of the file is a tree that has the buckets by name. The value of a
// bucket is the page of its own root. A small bucket is in the value, so the
// values of all do not always fit into one page: then the root is a branch above a
// few leaves.

// bucketHeaderBytes is how the value of a bucket begins: its root page and its
// sequence. A small bucket has no root page: its only leaf follows.
const bucketHeaderBytes = 16

// bucket returns what a leaf of the root has of a bucket: the id of its root, or
// the leaf inside.
func (p page) bucket(b *bucket) (id uint64, inside page, err error) {
	i := p.search(b.name)
	if !p.isLeaf() || p.count() == 0 || !bytes.Equal(p.key(i), b.name) || p.elementFlags(i) != bucketElement {
		return 0, nil, inBucket(b, damagedPage(p.id(), "it does not have the bucket"))
	}
	value := p.value(i)
	if len(value) < bucketHeaderBytes {
		return 0, nil, inBucket(b, damagedPage(p.id(), "the bucket has no root"))
	}
	if id = native.Uint64(value); id != 0 {
		return id, nil, nil
	}
	if inside = page(value[bucketHeaderBytes:]); len(inside) < pageHeaderBytes || !inside.isLeaf() {
		return 0, nil, inBucket(b, damagedPage(p.id(), "the bucket has no leaf"))
	}
	return 0, inside, nil
}

// rootLeaf returns the leaf of the root that has a bucket. The layout of the root
// was verified when the file was opened, and is again by verifyRoot.
func (v verifiedPages) rootLeaf(b *bucket) (page, error) {
	p, err := v.page(v.rootID)
	if err == nil && p.isBranch() && p.count() > 0 {
		p, err = v.page(p.child(p.search(b.name)))
	}
	return p, err
}

// verifyRoot verifies the layout of the pages that have the buckets, and of the
// small ones inside, for a transaction that writes.
func (v verifiedPages) verifyRoot() error {
	p, err := v.page(v.rootID)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	for _, b := range buckets {
		leaf, err := v.rootLeaf(b)
		if err != nil {
			return err
		}
		if err := leaf.check(); err != nil {
			return err
		}
		if _, inside, err := leaf.bucket(b); err != nil {
			return err
		} else if inside != nil {
			if err := inside.check(); err != nil {
				return inBucket(b, err)
			}
		}
	}
	return nil
}

// root returns the first step of each path in a bucket.
func (v verifiedPages) root(b *bucket) (step, error) {
	p, err := v.rootLeaf(b)
	if err != nil {
		return step{}, err
	}
	id, inside, err := p.bucket(b)
	if err != nil || inside != nil {
		return step{page: inside}, err
	}
	p, err = v.page(id)
	if err == nil && !v.trusts(id) {
		err = v.verify(b, p, nil)
	}
	if err == nil {
		err = v.verifyAgain(p, 0)
	}
	return step{page: p}, err
}

// rootElement is an element of a leaf of the root.
type rootElement struct {
	leaf  page
	index int
}

// bucket returns the bucket, and either the id of its root page or the leaf inside.
func (e rootElement) bucket() (b *bucket, id uint64, inside page, err error) {
	key := e.leaf.key(e.index)
	if b = bucketNamed(key); b == nil {
		return nil, 0, nil, damaged("there should be no bucket %.40q", key)
	}
	if id, inside, err = e.leaf.bucket(b); err == nil && inside != nil {
		err = inBucket(b, inside.check())
	}
	return b, id, inside, err
}

// readRoot reads the pages of the root and marks them as used. It finds no elements
// where the root is larger than that of this store.
func (c *fileCheck) readRoot() error {
	root, err := readPage(c.file, &c.meta, c.meta.root)
	if err != nil {
		return err
	}
	leaves := []page{root}
	if root.isBranch() {
		if root.count() > len(buckets) {
			return nil
		}
		leaves = nil
		for i := range root.count() {
			leaf, err := readPage(c.file, &c.meta, root.child(i))
			switch {
			case err != nil:
				return err
			case leaf.isBranch() && bucketNamed(root.key(i)) == nil:
				return nil
			case leaf.isBranch() || leaf.count() == 0 || !bytes.Equal(leaf.key(0), root.key(i)):
				return damagedPage(root.id(), "element %d does not lead to the buckets from %.40q on", i, root.key(i))
			}
			leaves = append(leaves, leaf)
		}
		c.useRoot(root)
	}
	for _, leaf := range leaves {
		if !c.useRoot(leaf) {
			return damagedPage(leaf.id(), "it is used twice")
		}
		for i := range leaf.count() {
			c.elements = append(c.elements, rootElement{leaf, i})
		}
	}
	return nil
}

// useRoot marks a page of the root as used, and reports whether it was not.
func (c *fileCheck) useRoot(p page) (unused bool) {
	unused = true
	for i := range p.overflow() + 1 {
		unused = c.used.add(p.id()+i) && unused
	}
	return unused
}

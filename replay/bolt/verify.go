package bolt

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"unsafe"

	bbolt "go.etcd.io/bbolt"
)

// bbolt trusts the file that it maps into memory. A damaged page can make it
// panic, descend without end, or refer to memory that is not there, which ends
// the process. So calls that only read do without it: they search the pages of
// the tree themselves, within bounds. Calls that write make each search here
// first, and verify each page before bbolt uses it.
//
// A page is verified once after the file was opened. Pages that were free then,
// or behind the end, need no verification: nothing but a transaction of this
// store can have put them into the tree since, because the pages that a
// verified branch leads to were not free. Other pages that a transaction
// writes to were in use before, and verified before it could free them.

// verifier knows which pages of an open file were verified.
type verifier struct {
	pageBytes uint64
	// pages and free are the number of pages and the free ones when the file was
	// opened.
	pages uint64
	free  pageSet
	// verified has a bit for each of the pages.
	verified []atomic.Uint64
}

// newVerifier is given the pages that are free, and those that were verified
// already.
func newVerifier(m *meta, free, verified pageSet) *verifier {
	v := &verifier{pageBytes: uint64(m.pageBytes), pages: m.pages, free: free, verified: make([]atomic.Uint64, len(verified))}
	for i := range verified {
		v.verified[i].Store(verified[i])
	}
	return v
}

func (v *verifier) trusts(id uint64) bool {
	return id >= v.pages || v.free.has(id) || v.verified[id/64].Load()&(1<<(id%64)) != 0
}

// trust notes that a page and those that continue it are verified.
func (v *verifier) trust(p page) {
	for id := p.id(); id <= p.id()+p.overflow(); id++ {
		v.verified[id/64].Or(1 << (id % 64))
	}
}

// maxDepth is more levels than the tree of any file has.
const maxDepth = 40

// verifiedPages reads the pages that one transaction sees, and verifies them.
type verifiedPages struct {
	*verifier
	// file is the file in memory. It is valid as long as the transaction.
	file []byte
	// rootID is the root of the file.
	rootID uint64
	// written is nil in a transaction that only reads.
	written *writtenPages
}

// writtenPages are the pages that a transaction may replace. Their layout is
// verified in each transaction, because bbolt refers to their parts without
// looking: damage that came since the first verification must not make it use
// memory without end, or descend without end.
type writtenPages struct {
	// parents has the page above each page; 0 for a root.
	parents map[uint64]uint64
	// merges says that bbolt may merge pages when it commits.
	merges bool
}

// of returns the pages of a transaction that is not committed yet.
func (v *verifier) of(tx *bbolt.Tx) verifiedPages {
	info := tx.DB().Info()
	start := *(*unsafe.Pointer)(unsafe.Pointer(&info.Data))
	pages := verifiedPages{verifier: v, file: unsafe.Slice((*byte)(start), tx.Size()), rootID: uint64(tx.Cursor().Bucket().Root())}
	if tx.Writable() {
		pages.written = &writtenPages{parents: make(map[uint64]uint64)}
	}
	return pages
}

// step is a page on the path from the root of a bucket to a leaf.
type step struct {
	page page
	// index is the element that the path follows.
	index int
	// to is above all keys of the page; nil if that has no bound.
	to []byte
}

// below returns the step that follows the element of a branch.
func (v verifiedPages) below(b *bucket, s *step) (step, error) {
	id, to := s.page.child(s.index), s.to
	if s.index+1 < s.page.count() {
		to = s.page.key(s.index + 1)
	}
	p, err := v.page(id)
	if err != nil {
		return step{}, err
	}
	if !v.trusts(id) {
		if err := v.verifyLevel(p, s); err != nil {
			return step{}, err
		}
		if err := v.verify(b, p, to); err != nil {
			return step{}, err
		}
	}
	if err := v.verifyAgain(p, s.page.id()); err != nil {
		return step{}, err
	}
	if p.count() == 0 || !bytes.Equal(p.key(0), s.page.key(s.index)) {
		return step{}, damagedPage(id, "it does not begin with the key by which page %d leads to it", s.page.id())
	}
	return step{page: p, to: to}, nil
}

// page returns a page of which only the place was verified.
func (v verifiedPages) page(id uint64) (page, error) {
	pages := uint64(len(v.file)) / v.pageBytes
	if id < 2 || id >= pages {
		return nil, damaged("there is no page %d", id)
	}
	p := page(v.file[id*v.pageBytes:])
	if err := p.checkPlace(id, pages); err != nil {
		return nil, err
	}
	return p[:(p.overflow()+1)*v.pageBytes], nil
}

// verify verifies a page that was in the tree when the file was opened.
func (v verifiedPages) verify(b *bucket, p page, to []byte) error {
	if p.id()+p.overflow() >= v.pages {
		return damagedPage(p.id(), "it says that %d pages continue it", p.overflow())
	}
	if err := p.check(); err != nil {
		return err
	}
	if err := p.checkSize(v.pageBytes); err != nil {
		return err
	}
	if n := p.count(); n > 0 && to != nil && bytes.Compare(p.key(n-1), to) >= 0 {
		return damagedPage(p.id(), "its last key belongs to another page")
	}
	if p.isLeaf() {
		if err := b.checkLeaf(p); err != nil {
			return err
		}
	} else if err := v.verifyChildren(p); err != nil {
		return err
	}
	v.trust(p)
	return nil
}

// verifyAgain verifies the layout of a page for a transaction that writes.
func (v verifiedPages) verifyAgain(p page, parent uint64) error {
	if v.written == nil {
		return nil
	}
	if known, ok := v.written.parents[p.id()]; ok {
		if known != parent {
			return damagedPage(p.id(), "pages %d and %d both lead to it", known, parent)
		}
		return nil
	}
	if err := p.check(); err != nil {
		return err
	}
	if err := p.checkSize(v.pageBytes); err != nil {
		return err
	}
	v.written.parents[p.id()] = parent
	return nil
}

// verifyParents verifies that no branch that bbolt may merge leads to a page
// which is below another one: bbolt would make a circle of them.
func (v verifiedPages) verifyParents() error {
	for id := range v.written.parents {
		p, err := v.page(id)
		if err != nil {
			return err
		}
		if p.isLeaf() {
			continue
		}
		if err := p.check(); err != nil {
			return err
		}
		for i := range p.count() {
			if parent, ok := v.written.parents[p.child(i)]; ok && parent != id {
				return damagedPage(id, "element %d leads to page %d, which is below page %d", i, p.child(i), parent)
			}
		}
	}
	return nil
}

// verifyChildren verifies that the pages below a branch were in use when the
// file was opened.
func (v verifiedPages) verifyChildren(p page) error {
	if p.count() == 0 {
		return damagedPage(p.id(), "it is a branch and empty")
	}
	for i := range p.count() {
		if id := p.child(i); id < 2 || id >= v.pages || v.free.has(id) || id == p.id() {
			return damagedPage(p.id(), "element %d leads to page %d, which is not in use", i, id)
		}
	}
	return nil
}

// verifyLevel compares a page with one beside it: as many levels are below both.
// A branch that leads past a level is found by it.
func (v verifiedPages) verifyLevel(p page, s *step) error {
	beside := s.index - 1
	if s.index == 0 {
		if beside = 1; s.page.count() < 2 {
			return nil
		}
	}
	other, err := v.page(s.page.child(beside))
	if err != nil {
		return nil // that damage is found when the other page is used
	}
	if a, b := v.height(p), v.height(other); a != b && a >= 0 && b >= 0 {
		return damagedPage(s.page.id(), "elements %d and %d lead to different levels", beside, s.index)
	}
	return nil
}

// height returns how many levels are below a page; -1 where that cannot be read.
func (v verifiedPages) height(p page) int {
	for height := range maxDepth {
		if p.isLeaf() {
			return height
		}
		if p.count() == 0 {
			return -1
		}
		var err error
		if p, err = v.page(p.child(0)); err != nil {
			return -1
		}
	}
	return -1
}

// search returns the last element that is not above a key: in a branch, the
// element below which bbolt looks for the key. It is 0 if there is none.
func (p page) search(key []byte) int {
	first, end := 0, p.count() // the keys before first are not above key, those from end on are
	for first < end {
		middle := (first + end) / 2
		if bytes.Compare(p.key(middle), key) > 0 {
			end = middle
		} else {
			first = middle + 1
		}
	}
	return max(first-1, 0)
}

// searchFrom returns the first element of a leaf that is not below a key.
func (p page) searchFrom(key []byte) int {
	i := p.search(key)
	if i < p.count() && bytes.Compare(p.key(i), key) < 0 {
		i++
	}
	return i
}

// get returns the value under a key of a leaf; nil if it has none.
func (p page) get(key []byte) []byte {
	i := p.search(key)
	if p.count() == 0 || !bytes.Equal(p.key(i), key) {
		return nil
	}
	return p.value(i)
}

// find appends the path to the leaf where a key belongs.
func (v verifiedPages) find(path []step, b *bucket, key []byte) ([]step, error) {
	s, err := v.root(b)
	for err == nil && s.page.isBranch() {
		if len(path) == maxDepth {
			return nil, damagedPage(s.page.id(), "it is more than %d levels deep", maxDepth)
		}
		s.index = s.page.search(key)
		path = append(path, s)
		s, err = v.below(b, &s)
	}
	if err != nil {
		return nil, inBucket(b, err)
	}
	return append(path, s), nil
}

// beside verifies the path to the leaf that follows the one of a path, or
// precedes it. There may be none.
func (v verifiedPages) beside(b *bucket, path []step, direction int) error {
	var memory [8]step
	_, err := v.move(b, append(memory[:0], path...), direction)
	return err
}

// move changes a path to that of the next leaf, or of the one before, and
// reports whether there is one.
func (v verifiedPages) move(b *bucket, path []step, direction int) (moved bool, err error) {
	level := len(path) - 2
	for ; level >= 0; level-- {
		if i := path[level].index + direction; i >= 0 && i < path[level].page.count() {
			path[level].index = i
			break
		}
	}
	if level < 0 {
		return false, nil
	}
	for level++; level < len(path); level++ {
		s, err := v.below(b, &path[level-1])
		if err != nil {
			return false, inBucket(b, err)
		}
		if s.page.isLeaf() != (level == len(path)-1) {
			return false, inBucket(b, damagedPage(s.page.id(), "it is on another level than the leaf beside it"))
		}
		if direction < 0 && s.page.isBranch() {
			s.index = s.page.count() - 1
		}
		path[level] = s
	}
	return true, nil
}

// siblings verifies the pages that bbolt may merge with those of a path.
func (v verifiedPages) siblings(b *bucket, path []step) error {
	for _, s := range path[:len(path)-1] {
		at := s.index
		for _, s.index = range []int{at - 1, at + 1} {
			if s.index < 0 || s.index >= s.page.count() {
				continue
			}
			if _, err := v.below(b, &s); err != nil {
				return inBucket(b, err)
			}
		}
	}
	return nil
}

// guarded calls do, which uses the file through memory, and turns a panic into a
// *panicError. The verification leaves few reasons for one: a disk that cannot
// be read, a file that was cut, or one that was written to by another program.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicError{reason: reason, stack: debug.Stack()}
		}
	}()
	return do()
}

// panicError is an ErrDamaged that began as a panic.
type panicError struct {
	reason any
	stack  []byte
}

func (e *panicError) Error() string {
	return fmt.Sprintf("%v: it cannot be read: %v", ErrDamaged, e.reason)
}

// Unwrap returns a *DamageError.
func (e *panicError) Unwrap() error { return &DamageError{Reason: fmt.Sprint(e.reason)} }

package bolt

import (
	"bytes"
	"encoding/binary"
	"io"
)

// The format of a bbolt file, in the byte order of the machine:
//
//	page:   id 8, flags 2, count 2, overflow 4, then what the flags say
//	meta:   magic 4, version 4, page size 4, flags 4, root page 8, sequence 8,
//	        freelist page 8, number of pages 8, transaction 8, checksum 8
//	leaf:   count times flags 4, position 4, key size 4, value size 4; then the
//	        keys and values without gaps; positions count from the element
//	branch: count times position 4, key size 4, page 8; then the keys
//	free:   the ids of the free pages, ascending; if count is 0xFFFF, their
//	        number comes first
//
// The meta page of transaction t is page t%2. The newer of the two meta pages
// leads to the tree. A transaction overwrites only pages that neither of them
// leads to, so a file is never half written.
const (
	pageHeaderBytes = 16
	elementBytes    = 16
	metaBytes       = 64
	metaMagic       = 0xED0CDAED
	metaVersion     = 2
	noFreelist      = 1<<64 - 1
	manyFree        = 0xFFFF

	minPageBytes = 1 << 10
	maxPageBytes = 16 << 20
)

// The flags of a page.
const (
	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10
)

// bucketElement is the flag of a leaf's element that is a bucket.
const bucketElement = 0x01

var native = binary.NativeEndian

// page is a page of the file and the pages that continue it. Its methods expect
// a layout that check has accepted.
type page []byte

func (p page) id() uint64       { return native.Uint64(p) }
func (p page) flags() uint16    { return native.Uint16(p[8:]) }
func (p page) isLeaf() bool     { return p.flags() == leafPage }
func (p page) isBranch() bool   { return p.flags() == branchPage }
func (p page) count() int       { return int(native.Uint16(p[10:])) }
func (p page) overflow() uint64 { return uint64(native.Uint32(p[12:])) }

// element returns the header of an element, and where the element begins.
func (p page) element(i int) (header []byte, at uint64) {
	at = pageHeaderBytes + uint64(i)*elementBytes
	return p[at:][:elementBytes], at
}

// span returns where the key of an element begins, and the sizes of its key and
// its value, which follows the key. A branch has no values.
func (p page) span(i int) (begin, key, value uint64) {
	header, at := p.element(i)
	if p.isLeaf() {
		return at + uint64(native.Uint32(header[4:])), uint64(native.Uint32(header[8:])), uint64(native.Uint32(header[12:]))
	}
	return at + uint64(native.Uint32(header)), uint64(native.Uint32(header[4:])), 0
}

func (p page) key(i int) []byte {
	begin, key, _ := p.span(i)
	return p[begin : begin+key : begin+key]
}

func (p page) value(i int) []byte {
	begin, key, value := p.span(i)
	return p[begin+key : begin+key+value : begin+key+value]
}

// child returns the page below an element of a branch.
func (p page) child(i int) uint64 {
	header, _ := p.element(i)
	return native.Uint64(header[8:])
}

// elementFlags returns the flags of an element of a leaf.
func (p page) elementFlags(i int) uint32 {
	header, _ := p.element(i)
	return native.Uint32(header)
}

// size returns how many bytes the elements end at. It needs only their headers.
func (p page) size() uint64 {
	size := pageHeaderBytes + uint64(p.count())*elementBytes
	for i := range p.count() {
		_, key, value := p.span(i)
		size += key + value
	}
	return size
}

// check verifies the layout of a branch or a leaf: the elements lie in it
// without gaps, and their keys ascend. A page whose count or sizes have changed
// has gaps.
func (p page) check() error {
	if len(p) < pageHeaderBytes {
		return damaged("a page has only %d bytes", len(p))
	}
	if !p.isLeaf() && !p.isBranch() {
		return damagedPage(p.id(), "its flags are %x", p.flags())
	}
	end, size := pageHeaderBytes+uint64(p.count())*elementBytes, uint64(len(p))
	if end > size {
		return damagedPage(p.id(), "it has %d elements in %d bytes", p.count(), size)
	}
	var last []byte
	for i := range p.count() {
		begin, key, value := p.span(i)
		if begin != end || key == 0 || key+value > size-begin || p.isLeaf() && p.elementFlags(i) > bucketElement {
			return damagedPage(p.id(), "element %d is not where it should be", i)
		}
		end += key + value
		if bytes.Compare(last, p.key(i)) >= 0 {
			return damagedPage(p.id(), "element %d is out of order", i)
		}
		last = p.key(i)
	}
	return nil
}

// checkPlace verifies what a page says of itself before anything else of it is
// used: its id, its kind and how many pages continue it.
func (p page) checkPlace(id, pages uint64) error {
	switch {
	case p.id() != id:
		return damagedPage(id, "it says that it is page %d", p.id())
	case !p.isLeaf() && !p.isBranch():
		return damagedPage(id, "its flags are %x", p.flags())
	case p.overflow() >= pages-id:
		return damagedPage(id, "it says that %d pages continue it", p.overflow())
	}
	return nil
}

// checkSize verifies that a page with a good layout has no more pages than bbolt
// uses for its elements.
func (p page) checkSize(pageBytes uint64) error {
	if pages := (p.size() + pageBytes - 1) / pageBytes; pages != p.overflow()+1 {
		return damagedPage(p.id(), "it has %d pages instead of %d", p.overflow()+1, pages)
	}
	return nil
}

// readPage reads a branch or a leaf from the file and verifies its layout. It
// reads no more than the elements need.
func readPage(file io.ReaderAt, m *meta, id uint64) (page, error) {
	if id < 2 || id >= m.pages {
		return nil, damaged("there is no page %d", id)
	}
	offset := int64(id) * m.pageBytes
	p := make(page, m.pageBytes)
	if _, err := file.ReadAt(p, offset); err != nil {
		return nil, err
	}
	if err := p.checkPlace(id, m.pages); err != nil {
		return nil, err
	}
	if p.overflow() > 0 {
		headers := make(page, pageHeaderBytes+p.count()*elementBytes)
		if _, err := file.ReadAt(headers, offset); err != nil {
			return nil, err
		}
		size := headers.size()
		if size > uint64(m.pageBytes)*(p.overflow()+1) {
			return nil, damagedPage(id, "it has %d bytes in %d pages", size, p.overflow()+1)
		}
		p = make(page, max(size, pageHeaderBytes))
		if _, err := file.ReadAt(p, offset); err != nil {
			return nil, err
		}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, p.checkSize(uint64(m.pageBytes))
}

// pageSet is a set of page ids.
type pageSet []uint64

func newPageSet(pages uint64) pageSet { return make(pageSet, (pages+63)/64) }

// add adds an id, and reports whether it is new.
func (s pageSet) add(id uint64) bool {
	if s.has(id) {
		return false
	}
	s[id/64] |= 1 << (id % 64)
	return true
}

func (s pageSet) has(id uint64) bool {
	return id/64 < uint64(len(s)) && s[id/64]&(1<<(id%64)) != 0
}

// readFreelist reads the list of free pages. In used it marks the pages that
// have the list.
func readFreelist(file io.ReaderAt, m *meta, used pageSet) (free pageSet, err error) {
	free = newPageSet(m.pages)
	if m.freelist == noFreelist {
		return free, nil
	}
	offset := int64(m.freelist) * m.pageBytes
	p := make(page, pageHeaderBytes+8)
	if _, err := file.ReadAt(p, offset); err != nil {
		return nil, err
	}
	if p.id() != m.freelist || p.flags() != freelistPage || p.overflow() >= m.pages-m.freelist {
		return nil, damagedPage(m.freelist, "it is not the list of free pages")
	}
	taken := p.overflow() + 1
	for i := range taken {
		used.add(m.freelist + i)
	}
	begin, count := uint64(pageHeaderBytes), uint64(p.count())
	if count == manyFree {
		begin, count = begin+8, native.Uint64(p[pageHeaderBytes:])
	}
	// bbolt estimates the size before it takes the pages for the list from the
	// list.
	needed := func(count uint64) uint64 { return (begin+count*8)/uint64(m.pageBytes) + 1 }
	if count > m.pages || taken < needed(count) || taken > needed(count+taken+1) {
		return nil, damagedPage(m.freelist, "%d free pages are listed in %d pages", count, taken)
	}
	ids := make([]byte, count*8)
	if _, err := file.ReadAt(ids, offset+int64(begin)); err != nil {
		return nil, err
	}
	for last := uint64(1); len(ids) > 0; ids = ids[8:] {
		id := native.Uint64(ids)
		if id <= last || id >= m.pages || used.has(id) {
			return nil, damagedPage(m.freelist, "page %d cannot be free", id)
		}
		free.add(id)
		last = id
	}
	return free, nil
}

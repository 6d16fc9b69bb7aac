package bolt

import "io"

// The kinds of pages.
const (
	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
)

// elementBytes is the size of an element of a branch or a leaf.
const elementBytes = 16

// bucketElement is the flag of a leaf's element that is a bucket.
const bucketElement = 0x01

// page is a branch or a leaf whose elements lie where they should.
type page struct {
	id       uint64
	leaf     bool
	elements []element
	// pages is how many pages it takes.
	pages uint64
}

// element is an element of a branch or a leaf. Its slices are shared with what
// it was read from.
type element struct {
	key []byte
	// value is a leaf's, and child a branch's.
	value  []byte
	child  uint64
	bucket bool
}

// pageHeader is how a page begins.
type pageHeader struct {
	id       uint64
	flags    uint16
	count    uint64
	overflow uint64
}

func parseHeader(b []byte) pageHeader {
	return pageHeader{
		id:       native.Uint64(b),
		flags:    native.Uint16(b[8:]),
		count:    uint64(native.Uint16(b[10:])),
		overflow: uint64(native.Uint32(b[12:])),
	}
}

// extent is where the elements of a page begin and end. A page lies without
// gaps, so one whose number of elements was changed shows.
func (h *pageHeader) extent() (begin uint64) { return pageHeaderBytes + h.count*elementBytes }

// span reads an element's header, and returns how much its key and its value
// take; ok is false if they do not begin at the given place.
func (h *pageHeader) span(header []byte, i, begin uint64) (key, value uint64, ok bool) {
	at := pageHeaderBytes + i*elementBytes
	if h.flags == leafPage {
		key, value = uint64(native.Uint32(header[8:])), uint64(native.Uint32(header[12:]))
		return key, value, at+uint64(native.Uint32(header[4:])) == begin && native.Uint32(header) <= bucketElement
	}
	return uint64(native.Uint32(header[4:])), 0, at+uint64(native.Uint32(header)) == begin
}

// parsePage takes a page apart that is whole in b, which may be longer.
func parsePage(b []byte) (page, error) {
	if len(b) < pageHeaderBytes {
		return page{}, damaged("a page has %d bytes only", len(b))
	}
	h := parseHeader(b)
	if h.flags != leafPage && h.flags != branchPage {
		return page{}, damaged("page %d is of no known kind: %x", h.id, h.flags)
	}
	p := page{id: h.id, leaf: h.flags == leafPage, pages: h.overflow + 1}
	begin, size := h.extent(), uint64(len(b))
	if begin > size {
		return page{}, damaged("page %d has %d elements in %d bytes", h.id, h.count, size)
	}
	p.elements = make([]element, h.count)
	for i := range h.count {
		header := b[pageHeaderBytes+i*elementBytes:]
		key, value, ok := h.span(header, i, begin)
		if !ok || key == 0 || key+value > size-begin {
			return page{}, damaged("element %d of page %d is not where it should be", i, h.id)
		}
		e := &p.elements[i]
		e.key, e.value = b[begin:begin+key:begin+key], b[begin+key:begin+key+value]
		if p.leaf {
			e.bucket = native.Uint32(header) == bucketElement
		} else {
			e.child = native.Uint64(header[8:])
		}
		begin += key + value
	}
	return p, nil
}

// readPage reads a branch or a leaf. It reads no more than the page says that
// it needs, and that is checked first.
func readPage(file io.ReaderAt, m *meta, id uint64) (page, error) {
	if id < 2 || id >= m.pages {
		return page{}, damaged("there is no page %d", id)
	}
	offset := int64(id) * m.pageBytes
	b := make([]byte, m.pageBytes)
	if _, err := file.ReadAt(b, offset); err != nil {
		return page{}, err
	}
	h := parseHeader(b)
	if h.id != id {
		return page{}, damaged("page %d says that it is page %d", id, h.id)
	}
	if h.overflow >= m.pages-id {
		return page{}, damaged("page %d and the %d after it are too many", id, h.overflow)
	}
	if h.overflow > 0 {
		size, err := usedBytes(file, offset, &h)
		if err != nil {
			return page{}, err
		}
		if size > uint64(m.pageBytes)*(h.overflow+1) {
			return page{}, damaged("page %d has %d bytes in %d pages", id, size, h.overflow+1)
		}
		b = make([]byte, size)
		if _, err := file.ReadAt(b, offset); err != nil {
			return page{}, err
		}
	}
	p, err := parsePage(b)
	if err == nil && p.pages != pagesFor(&p, uint64(m.pageBytes)) {
		err = damaged("page %d takes %d pages instead of %d", id, p.pages, pagesFor(&p, uint64(m.pageBytes)))
	}
	return p, err
}

// pagesFor is how many pages bbolt uses for the elements.
func pagesFor(p *page, pageBytes uint64) uint64 {
	size := uint64(pageHeaderBytes)
	for i := range p.elements {
		size += elementBytes + uint64(len(p.elements[i].key)) + uint64(len(p.elements[i].value))
	}
	return (size + pageBytes - 1) / pageBytes
}

// usedBytes reads the headers of a page's elements, and returns how many bytes
// all of it takes.
func usedBytes(file io.ReaderAt, offset int64, h *pageHeader) (uint64, error) {
	headers := make([]byte, h.count*elementBytes)
	if _, err := file.ReadAt(headers, offset+pageHeaderBytes); err != nil {
		return 0, err
	}
	size := h.extent()
	for i := range h.count {
		key, value, _ := h.span(headers[i*elementBytes:], i, size)
		size += key + value
	}
	return size, nil
}

package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// What bbolt writes into a file, in the byte order of the machine:
//
//	page:  id 8, flags 2, count 2, overflow 4, then what the flags say
//	meta:  magic 4, version 4, page size 4, flags 4, root page 8, sequence 8,
//	       freelist page 8, number of pages 8, transaction 8, checksum 8
//	leaf:  count times flags 4, position 4, key size 4, value size 4; then the
//	       keys and values without gaps, positions counting from the element
//	branch: count times position 4, key size 4, page 8; then the keys
//
// Pages 0 and 1 are metas, written in turn: the newer one that is whole says
// which pages are the tree. It names no page that it does not know, so a file
// is never half written.
const (
	pageHeaderBytes = 16
	metaBytes       = 64
	metaMagic       = 0xED0CDAED
	metaVersion     = 2
	noFreelist      = 1<<64 - 1

	minPageBytes = 1 << 10
	maxPageBytes = 16 << 20
)

var native = binary.NativeEndian

// meta is a meta page.
type meta struct {
	pageBytes   int64
	root        uint64
	freelist    uint64
	pages       uint64
	transaction uint64
	// page is where it was: 0 or 1.
	page int64
}

// errNoMeta: this is not the beginning of a meta page.
var errNoMeta = errors.New("no meta page")

// parseMeta reads a meta page, of which it is given the beginning.
func parseMeta(page []byte) (meta, error) {
	if len(page) < pageHeaderBytes+metaBytes {
		return meta{}, errNoMeta
	}
	b := page[pageHeaderBytes:][:metaBytes]
	if native.Uint32(b) != metaMagic {
		return meta{}, errNoMeta
	}
	hash := fnv.New64a()
	hash.Write(b[:metaBytes-8])
	m := meta{
		pageBytes:   int64(native.Uint32(b[8:])),
		root:        native.Uint64(b[16:]),
		freelist:    native.Uint64(b[32:]),
		pages:       native.Uint64(b[40:]),
		transaction: native.Uint64(b[48:]),
	}
	switch {
	case native.Uint64(b[56:]) != hash.Sum64():
		return meta{}, damaged("the checksum of a meta page is wrong")
	case native.Uint32(b[4:]) != metaVersion:
		return meta{}, fmt.Errorf("%w: it is kept in version %d of bbolt's format", ErrForeign, native.Uint32(b[4:]))
	case m.pageBytes < minPageBytes || m.pageBytes > maxPageBytes || m.pageBytes&(m.pageBytes-1) != 0:
		return meta{}, damaged("a page cannot have %d bytes", m.pageBytes)
	}
	return m, nil
}

// readMeta returns the meta that bbolt will go by.
func readMeta(file io.ReaderAt, size int64) (meta, error) {
	if size == 0 {
		return meta{}, damaged("it is empty; remove it if there never was anything in it")
	}
	first, err0 := readMetaAt(file, 0)
	if failed(err0) {
		return meta{}, err0
	}
	second, err1 := meta{}, errNoMeta
	if err0 == nil {
		second, err1 = readMetaAt(file, first.pageBytes)
	} else {
		// Only its place tells the size of a page.
		for at := int64(minPageBytes); at <= maxPageBytes && errors.Is(err1, errNoMeta); at *= 2 {
			second, err1 = readMetaAt(file, at)
		}
	}
	second.page = 1
	switch {
	case failed(err1):
		return meta{}, err1
	case err0 != nil && err1 != nil:
		return meta{}, worse(err0, err1)
	case err0 != nil || err1 == nil && second.transaction > first.transaction:
		first = second
	}
	return first, first.check(size)
}

// failed says that an error is not about what was read.
func failed(err error) bool {
	return err != nil && !errors.Is(err, errNoMeta) && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign)
}

// worse says what a file is that has no good meta.
func worse(err0, err1 error) error {
	for _, err := range []error{err0, err1} {
		if !errors.Is(err, errNoMeta) {
			return err
		}
	}
	return fmt.Errorf("%w: it is not a bbolt file, or its beginning was overwritten", ErrForeign)
}

func readMetaAt(file io.ReaderAt, at int64) (meta, error) {
	page := make([]byte, pageHeaderBytes+metaBytes)
	n, err := file.ReadAt(page, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return meta{}, err
	}
	return parseMeta(page[:n])
}

// check holds a meta against the size of the file.
func (m *meta) check(size int64) error {
	switch {
	case m.pages < 4 || m.pages > uint64(size/m.pageBytes):
		return damaged("it was cut: there are %d bytes of %d pages of %d", size, m.pages, m.pageBytes)
	case m.root < 2 || m.root >= m.pages:
		return damaged("the root cannot be page %d of %d", m.root, m.pages)
	case m.freelist != noFreelist && (m.freelist < 2 || m.freelist >= m.pages):
		return damaged("the list of free pages cannot be page %d of %d", m.freelist, m.pages)
	}
	return nil
}

package bolt

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// meta is a meta page.
type meta struct {
	pageBytes   int64
	root        uint64
	freelist    uint64
	pages       uint64
	transaction uint64
	// at is the page's place: 0 or 1.
	at int64
}

var (
	// errNoMeta: the page is not a meta page, nor one that was partly written.
	errNoMeta = errors.New("no meta page")
	// errPartlyWritten: a meta page has everything that is the same in all meta
	// pages, but its checksum is wrong. A power cut can leave that, and so can
	// damage.
	errPartlyWritten = errors.New("the checksum is wrong")
)

// parseMeta reads the beginning of the meta page at a place.
func parseMeta(p page, at int64) (meta, error) {
	if len(p) < pageHeaderBytes+metaBytes {
		return meta{}, errNoMeta
	}
	b := p[pageHeaderBytes:][:metaBytes]
	if native.Uint32(b) != metaMagic || p.id() != uint64(at) || p.flags() != metaPage {
		return meta{}, errNoMeta
	}
	m := meta{
		pageBytes:   int64(native.Uint32(b[8:])),
		root:        native.Uint64(b[16:]),
		freelist:    native.Uint64(b[32:]),
		pages:       native.Uint64(b[40:]),
		transaction: native.Uint64(b[48:]),
		at:          at,
	}
	hash := fnv.New64a()
	hash.Write(b[:metaBytes-8])
	intact := native.Uint64(b[56:]) == hash.Sum64()
	switch version := native.Uint32(b[4:]); {
	case version != metaVersion && intact:
		return meta{}, fmt.Errorf("%w: it is kept in version %d of bbolt's format", ErrForeign, version)
	case version != metaVersion,
		m.pageBytes < minPageBytes || m.pageBytes > maxPageBytes || m.pageBytes&(m.pageBytes-1) != 0:
		return meta{}, errNoMeta
	case !intact:
		return m, errPartlyWritten
	}
	return m, nil
}

func readMetaAt(file io.ReaderAt, at, offset int64) (meta, error) {
	p := make(page, pageHeaderBytes+metaBytes)
	n, err := file.ReadAt(p, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return meta{}, err
	}
	return parseMeta(p[:n], at)
}

// readMeta returns the newest meta page that can be used. It reports whether the
// other one was partly written: that one may have been the newer one, and
// nothing says whether its transaction was acknowledged.
func readMeta(file io.ReaderAt, size int64) (newest meta, partly bool, err error) {
	if size == 0 {
		return meta{}, false, damaged("it is empty; remove it if there never was anything in it")
	}
	first, err0 := readMetaAt(file, 0, 0)
	second, err1 := meta{}, errNoMeta
	if err0 == nil {
		second, err1 = readMetaAt(file, 1, first.pageBytes)
	} else {
		// The size of a page is the place of the second one.
		for offset := int64(minPageBytes); offset <= maxPageBytes && errors.Is(err1, errNoMeta); offset *= 2 {
			if second, err1 = readMetaAt(file, 1, offset); second.pageBytes != 0 && second.pageBytes != offset {
				err1 = errNoMeta
			}
		}
	}
	for _, err := range []error{err0, err1} {
		if err != nil && !errors.Is(err, errNoMeta) && !errors.Is(err, errPartlyWritten) {
			return meta{}, false, err
		}
	}
	switch {
	case err0 == nil && err1 == nil:
		newest, err = newerMeta(first, second)
	case err0 == nil && errors.Is(err1, errPartlyWritten) && second.pageBytes == first.pageBytes:
		newest, partly = first, true
	case err1 == nil && errors.Is(err0, errPartlyWritten) && second.pageBytes == first.pageBytes:
		newest, partly = second, true
	case err0 == nil || err1 == nil:
		at := 0
		if err0 == nil {
			at = 1
		}
		err = damaged("meta page %d was overwritten, and may have been the newest one", at)
	case errors.Is(err0, errPartlyWritten) || errors.Is(err1, errPartlyWritten):
		err = damaged("the checksums of both meta pages are wrong")
	default:
		err = fmt.Errorf("%w: it is not a bbolt file, or its beginning was overwritten", ErrForeign)
	}
	if err == nil {
		err = newest.check(size)
	}
	return newest, partly, err
}

// newerMeta returns the newer one of two meta pages that are right in
// themselves. They must be of two consecutive transactions, each in its place.
func newerMeta(first, second meta) (meta, error) {
	older, newer := first, second
	if first.transaction > second.transaction {
		older, newer = second, first
	}
	switch {
	case newer.transaction != older.transaction+1 || newer.pageBytes != older.pageBytes:
		return meta{}, damaged("its meta pages are of transactions %d and %d", first.transaction, second.transaction)
	case newer.transaction%2 != uint64(newer.at):
		return meta{}, damaged("meta page %d is of transaction %d", newer.at, newer.transaction)
	}
	return newer, nil
}

// check compares a meta page with the size of the file.
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

// disk is what rewriteMeta needs of a file.
type disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// rewriteMeta writes the newest meta page again, as it is, and syncs it.
//
// After a failed sync, or after a process was killed before it, the newest meta
// page may be in the memory of the system only, and the system may take it for
// written. To continue from there would overwrite pages that the meta page on
// the disk still leads to.
func rewriteMeta(file disk, m *meta) error {
	p := make(page, m.pageBytes)
	offset := m.at * m.pageBytes
	if _, err := file.ReadAt(p, offset); err != nil {
		return err
	}
	if _, err := file.WriteAt(p, offset); err != nil {
		return err
	}
	return file.Sync()
}

package bolt

// readFree reads the list of free pages. A file without one is right: bbolt
// makes a list of the pages that are not used.
func (c *check) readFree() error {
	if c.meta.freelist == noFreelist {
		return nil
	}
	id, offset := c.meta.freelist, int64(c.meta.freelist)*c.meta.pageBytes
	b := make([]byte, pageHeaderBytes+8)
	if _, err := c.file.ReadAt(b, offset); err != nil {
		return err
	}
	h := parseHeader(b)
	if h.id != id || h.flags != freelistPage || h.overflow >= c.meta.pages-id {
		return damaged("page %d is not the list of free pages", id)
	}
	for i := range h.overflow + 1 {
		c.used.set(id + i)
	}
	begin, count := uint64(pageHeaderBytes), h.count
	if count == 0xFFFF { // there are more than fit into count
		begin, count = begin+8, native.Uint64(b[pageHeaderBytes:])
	}
	room := (h.overflow + 1) * uint64(c.meta.pageBytes)
	if count > c.meta.pages || begin+count*8 > room {
		return damaged("the list of free pages has no room for %d", count)
	}
	ids := make([]byte, count*8)
	if _, err := c.file.ReadAt(ids, offset+int64(begin)); err != nil {
		return err
	}
	for ; len(ids) > 0; ids = ids[8:] {
		free := native.Uint64(ids)
		if free < 2 || free >= c.meta.pages || c.used.has(free) || !c.free.set(free) {
			return damaged("page %d cannot be free", free)
		}
	}
	return nil
}

// pageSet is a set of page ids.
type pageSet []uint64

func newPageSet(n uint64) pageSet { return make(pageSet, (n+63)/64) }

// set adds an id, and reports whether it was not there.
func (b pageSet) set(id uint64) bool {
	if b.has(id) {
		return false
	}
	b[id/64] |= 1 << (id % 64)
	return true
}

func (b pageSet) has(id uint64) bool { return b[id/64]&(1<<(id%64)) != 0 }

package jsonpatch

import "bytes"

// cursor makes one pass over the text in and writes the changed text to out. It
// stands between two members or elements of the innermost open object or array, or
// before the document.
//
//   - in[:copied] is done: what remains of it is in out.
//   - in[copied:pos] will be copied as it is.
//   - pos is directly behind the last member or element that was passed. If none was
//     passed, or all were removed, a member, an element or the closing bracket follows
//     pos without a comma. If a comma is owed, an element starts at pos, the one
//     before it was added, and the comma between them is not written yet.
type cursor struct {
	in, out     []byte
	copied, pos int
	owed        bool
	open        []level
	path        []byte // of the last operation; the open levels are on it
	malformed   bool   // in is not valid JSON
	spare       []byte // memory for another pass
	passes      int    // before this one
	repeated    int    // how many bytes those copied
	work        int    // how many bytes were scanned, for tests
}

// maxRepeated is how many bytes passes after the first one may copy together. Each
// operation that is out of order costs a pass.
const maxRepeated = 1 << 30

// level is an open object or array.
type level struct {
	array  bool
	path   int    // the length of its path, which is the start of cursor.path
	start  int    // where it starts in out
	count  int    // how many members or elements of the result are behind the cursor
	inside []span // the objects and arrays in out that were opened and closed in this object

	searched bool                // passed was called
	names    map[string]struct{} // of the members behind the cursor, once passed needs them
}

// span is a range of a text.
type span struct{ start, end int }

// copyAndSkip copies everything before from, and skips what is between from and to.
func (c *cursor) copyAndSkip(from, to int) {
	c.out = append(c.out, c.in[c.copied:from]...)
	c.copied = to
}

// writeOwedComma writes the comma that is owed to the next element.
func (c *cursor) writeOwedComma() {
	if c.owed {
		c.copyAndSkip(c.pos, c.pos)
		c.out = append(c.out, ',')
		c.owed = false
	}
}

// next returns where the next member or element starts, or the closing bracket if
// there is none.
func (c *cursor) next(l *level) (start int, found bool) {
	closing := byte('}')
	if l.array {
		closing = ']'
	}
	start = skipSpace(c.in, c.pos)
	switch {
	case at(c.in, start) == closing:
		return start, false
	case l.count > 0 && !c.owed:
		if at(c.in, start) != ',' {
			c.malformed = true
			return start, false
		}
		start = skipSpace(c.in, start+1)
	}
	return start, true
}

// pass moves behind the member or element whose value starts at value.
func (c *cursor) pass(l *level, value int) bool {
	end := skipValue(c.in, value)
	if end < 0 {
		c.malformed = true
		return false
	}
	c.work += end - c.pos
	c.writeOwedComma()
	c.pos = end
	l.count++
	return true
}

// findIndex passes elements until the next one has the index. Without such an
// element it passes all, and start is the closing bracket.
func (c *cursor) findIndex(l *level, index int) (start int, found bool) {
	for {
		start, found = c.next(l)
		if !found || l.count == index {
			return start, found
		}
		if !c.pass(l, start) {
			return start, false
		}
	}
}

// findName passes members until the next one has the name. Without such a member it
// passes all, and start is the closing bracket.
func (c *cursor) findName(l *level, name []byte) (start, value int, found bool) {
	for {
		start, found = c.next(l)
		if !found {
			return start, 0, false
		}
		end := -1
		if at(c.in, start) == '"' {
			end = skipString(c.in, start)
		}
		if end >= 0 {
			value = skipColon(c.in, end)
		}
		if end < 0 || value < 0 {
			c.malformed = true
			return start, 0, false
		}
		if equalName(c.in[start+1:end-1], name) {
			return start, value, true
		}
		if !c.pass(l, value) {
			return start, 0, false
		}
	}
}

// enter opens the object or array at i, whose path has the given length.
func (c *cursor) enter(i, path int) string {
	opening := at(c.in, i)
	if opening != '{' && opening != '[' {
		return noParent
	}
	c.writeOwedComma()
	c.open = append(c.open, level{array: opening == '[', path: path, start: len(c.out) + i - c.copied})
	c.pos = i + 1
	return ""
}

// leave closes the levels that are not on the way to the target of a path. The
// cursor is then behind them.
func (c *cursor) leave(path []byte) {
	common := commonPrefix(c.path, path)
	for len(c.open) > 0 && !c.malformed {
		l := &c.open[len(c.open)-1]
		if l.path <= common && l.path < len(path) && path[l.path] == '/' {
			return
		}
		c.writeOwedComma()
		end := skipRest(c.in, c.pos)
		if end < 0 {
			c.malformed = true
			return
		}
		c.work += end - c.pos
		closed := span{l.start, len(c.out) + end - c.copied}
		c.pos = end
		c.open = c.open[:len(c.open)-1]
		if len(c.open) > 0 {
			parent := &c.open[len(c.open)-1]
			parent.count++
			if !parent.array {
				parent.inside = append(parent.inside, closed)
			}
		}
	}
}

// finish copies what is left, and returns the text.
func (c *cursor) finish() []byte {
	c.writeOwedComma()
	c.copyAndSkip(len(c.in), len(c.in))
	return c.out
}

// restart finishes the pass and starts another one on its result, or returns why it
// does not.
func (c *cursor) restart() string {
	result := c.finish()
	if c.repeated += len(result); c.repeated > maxRepeated {
		return disordered
	}
	if c.passes > 0 {
		c.spare = c.in // written by the pass before
	}
	c.begin(result)
	return ""
}

// begin starts a pass over a text.
func (c *cursor) begin(in []byte) {
	c.in, c.out = in, c.spare[:0]
	c.spare = nil
	c.passes++
	c.copied, c.pos, c.owed = 0, 0, false
	c.open, c.path = c.open[:0], nil
}

// replaceDocument replaces the whole document, white space around it included.
func (c *cursor) replaceDocument(value []byte) {
	c.spare = c.out
	c.begin(bytes.Clone(value))
}

package jsonpatch

import "bytes"

// Apply returns the text that results from applying the operations of patch, one
// after the other, to state. The package documentation specifies its bytes. state
// must be valid JSON with distinct names; of other texts Apply reports what stops it,
// and copies what it need not look at. patch is checked: the error for one that is
// not a JSON Patch of add, remove and replace, or that does not fit state, is an
// [*Error].
//
// The result is state itself where the patch has no operation, and otherwise a new
// text that shares no memory with state or patch.
//
// Operations in document order, like those of [Diff], take one pass over state, up to
// the place of the last of them. Each operation that lies before the one that precedes
// it starts another pass. Where further passes would have to copy more than 1 GiB
// together, Apply refuses the patch: it has to be brought into document order.
func Apply(state, patch []byte) ([]byte, error) {
	operations, err := parse(patch)
	if err != nil {
		return nil, err
	}
	if len(operations) == 0 {
		return state, nil
	}
	c := cursor{in: state, out: make([]byte, 0, len(state)+len(patch)), open: make([]level, 0, 4)}
	if err := c.run(operations); err != nil {
		return nil, err
	}
	return c.finish(), nil
}

// run applies the operations, in as many passes as they need.
func (c *cursor) run(operations []operation) error {
	for index := range operations {
		o := &operations[index]
		reason := c.apply(o)
		if reason == behind {
			if reason = c.restart(); reason == "" {
				reason = c.apply(o)
			}
		}
		if reason != "" {
			return failure(index, o.path, reason)
		}
	}
	return nil
}

// Why an operation cannot be applied; empty if it was applied.
const (
	behind     = "behind the cursor"
	noTarget   = "there is no such member or element"
	noParent   = "the object or array in which the target lies does not exist"
	noIndex    = "an array index must be digits without leading zeros, and at most the length of the array"
	noDocument = "the whole document cannot be removed"
	malformed  = "the state is not valid JSON"
	disordered = "too many operations lie before the one that precedes them; bring the patch into the order of the document"
)

// apply applies one operation, or returns why it cannot. [behind] means that the
// place of the operation may precede the cursor: it can be applied in another pass.
func (c *cursor) apply(o *operation) string {
	if len(o.path) == 0 {
		if o.kind == remove {
			return noDocument
		}
		c.replaceDocument(o.value)
		return ""
	}
	c.leave(o.path)
	if c.malformed {
		return malformed
	}
	for {
		opened := 0
		if len(c.open) > 0 {
			opened = c.open[len(c.open)-1].path
		}
		token, rest := nextToken(o.path[opened:])
		if len(c.open) == 0 {
			// The path of the document is empty: open it, and look at the token again.
			if reason := c.enter(skipSpace(c.in, c.pos), 0); reason != "" {
				return reason
			}
			continue
		}
		l := &c.open[len(c.open)-1]
		if len(rest) == 0 {
			c.path = o.path
			if l.array {
				return c.applyToArray(l, token, o)
			}
			return c.applyToObject(l, tokenName(token), o)
		}
		value, reason := c.child(l, token)
		if reason != "" {
			return reason
		}
		c.path = o.path
		if reason := c.enter(value, len(o.path)-len(rest)); reason != "" {
			return reason
		}
	}
}

// child moves to a member or element and returns where its value starts.
func (c *cursor) child(l *level, token []byte) (value int, reason string) {
	before := l.count
	if !l.array {
		_, value, found := c.findName(l, tokenName(token))
		return value, c.missing(found, before, noParent)
	}
	index := tokenIndex(token)
	switch {
	case index < 0:
		return 0, noParent
	case index < before:
		return 0, behind
	}
	value, found := c.findIndex(l, index)
	return value, c.missing(found, 0, noParent)
}

// missing returns why something was not found ahead of the cursor: it may be behind,
// if there is anything.
func (c *cursor) missing(found bool, before int, reason string) string {
	switch {
	case c.malformed:
		return malformed
	case found:
		return ""
	case before > 0:
		return behind
	}
	return reason
}

func (c *cursor) applyToArray(l *level, token []byte, o *operation) string {
	index, before := tokenIndex(token), l.count
	end := o.kind == add && len(token) == 1 && token[0] == '-'
	switch {
	case end:
		index = int(^uint(0) >> 1)
	case index < 0:
		return noIndex
	case index < before:
		return behind
	}
	start, found := c.findIndex(l, index)
	switch {
	case c.malformed:
		return malformed
	case o.kind == add && (found || end || index == l.count):
		c.insert(l, start, found, nil, o.value)
		return ""
	case o.kind == add:
		return noIndex
	case !found:
		return noTarget
	}
	return c.change(l, start, start, o)
}

func (c *cursor) applyToObject(l *level, name []byte, o *operation) string {
	before := l.count
	start, value, found := c.findName(l, name)
	switch {
	case c.malformed:
		return malformed
	case found:
		return c.change(l, start, value, o)
	case o.kind != add:
		return c.missing(false, before, noTarget)
	case before > 0 && c.passed(l, name):
		return behind
	}
	if l.names != nil {
		l.names[string(name)] = struct{}{}
	}
	c.insert(l, start, false, name, o.value)
	return ""
}

// change replaces or removes the member or element that starts at start, and whose
// value starts at value.
func (c *cursor) change(l *level, start, value int, o *operation) string {
	end := skipValue(c.in, value)
	switch {
	case end < 0:
		c.malformed = true
		return malformed
	case o.kind != remove:
		c.writeOwedComma()
		c.copyAndSkip(value, end)
		c.out = append(c.out, o.value...)
		c.pos = end
		l.count++
	case l.count > 0:
		// With the comma before it, which is not written yet if it is owed.
		c.copyAndSkip(c.pos, end)
		c.pos, c.owed = end, false
	default:
		next := skipSpace(c.in, end)
		if at(c.in, next) == ',' {
			end = skipSpace(c.in, next+1)
		}
		c.copyAndSkip(start, end)
		c.pos = end
	}
	return ""
}

// insert adds a member, or an element if name is nil, before the element that starts
// at start if there is one, and otherwise at the end of the object or array.
func (c *cursor) insert(l *level, start int, before bool, name, value []byte) {
	switch {
	case before:
		c.writeOwedComma()
		c.copyAndSkip(start, start)
		c.pos = start
	case l.count > 0:
		c.copyAndSkip(c.pos, c.pos)
		c.out = append(c.out, ',')
	default:
		c.copyAndSkip(start, start)
		c.pos = start
	}
	if name != nil {
		c.out = append(c.out, '"')
		c.out = appendQuoted(c.out, name)
		c.out = append(c.out, '"', ':')
	}
	c.out = append(c.out, value...)
	c.owed = before
	l.count++
}

// passed reports whether the object has a member of that name behind the cursor,
// which is at the end of the object. The first time it looks at each name; if there
// is a second time, there may be many more, and it remembers the names.
func (c *cursor) passed(l *level, name []byte) bool {
	if l.names != nil {
		_, found := l.names[string(name)]
		return found
	}
	c.copyAndSkip(c.pos, c.pos)
	var names map[string]struct{}
	if l.searched {
		names = make(map[string]struct{}, l.count)
	}
	found := false
	inside := l.inside
	for i := skipSpace(c.out, l.start+1); at(c.out, i) == '"'; i = skipSpace(c.out, i+1) {
		end := skipString(c.out, i)
		if end < 0 {
			break
		}
		raw := c.out[i+1 : end-1]
		found = found || equalName(raw, name)
		if names != nil {
			if bytes.IndexByte(raw, '\\') >= 0 {
				raw, _ = unescape(nil, raw)
			}
			names[string(raw)] = struct{}{}
		}
		i = skipColon(c.out, end)
		from := i
		if len(inside) > 0 && inside[0].start == i {
			i = inside[0].end
			inside = inside[1:]
		} else {
			i = skipValue(c.out, i)
			c.work += i - from
		}
		if i = skipSpace(c.out, i); at(c.out, i) != ',' {
			break
		}
	}
	l.searched, l.names = true, names
	return found
}

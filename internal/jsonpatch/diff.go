package jsonpatch

import (
	"bytes"
	"math"

	"github.com/safe-go/safe/internal/nesting"
)

// maxDepth is how deep a patch may nest to be applied, and how deep Diff descends. What
// differs below is replaced as a whole.
const maxDepth = 10000

// Diff returns a patch that leads from before to after: an RFC 6902 text with add,
// remove and replace only, which is shorter than after. ok is false where there is
// none. The patch is [] where both are the same JSON value, that is, where they differ
// in white space and the order of members only; numbers and strings are the same
// where their texts are.
//
// Both must be valid JSON with distinct names in each object. An object in which
// Diff sees a name twice is replaced as a whole. The operations are in the order in
// which their targets come in before. The patch is canonical if after is.
//
// Arrays are compared element by element after their common prefix and suffix were
// set aside, so that an insertion or a removal in one place costs what it changes.
//
// The time is linear in the size of both texts, whatever they contain. What is equal
// in both is compared as bytes.
func Diff(before, after []byte) (patch []byte, ok bool) {
	if bytes.Equal(before, after) {
		return []byte("[]"), true
	}
	if len(before) > math.MaxInt32 || len(after) > math.MaxInt32 {
		return nil, false // a differ has offsets of 32 bits
	}
	d := newDiffer(before, after)
	switch d.document(); {
	case d.malformed:
		return nil, false
	case len(d.changes) == 0:
		return []byte("[]"), true
	case d.size > d.limit:
		return nil, false
	}
	patch = d.render()
	if nesting.OffsetBeyond(patch, maxDepth) >= 0 {
		return nil, false
	}
	return patch, true
}

const before, after = 0, 1

// differ compares two texts. Its methods take offsets: i in the text before, j in
// the text after.
type differ struct {
	texts     [2][]byte
	malformed bool // one of the texts is not JSON
	depth     int
	work      int // how many bytes were compared or scanned, for tests

	equalRun
	index [2]index
	tried bool // oneRun was tried

	// names has where the names start of the members that were passed in the open
	// objects: offsets in the text before, or, with all bits inverted, in the text after.
	names     []int32
	afterText string // the text after, once a map has its names

	path    []pathNode
	tokens  []byte // of the nodes
	changes []change
	size    int // of the operations in the patch, with a comma behind each
	limit   int // more than that makes the patch too large
}

func newDiffer(before, after []byte) *differ {
	return &differ{
		texts: [2][]byte{before, after},
		limit: len(after) - len("[]"),
		path:  []pathNode{{parent: -1}},
	}
}

// document compares the texts.
func (d *differ) document() {
	i, j := skipSpace(d.texts[before], 0), skipSpace(d.texts[after], 0)
	if isOpen(d.texts[before], i) && d.texts[before][i] == at(d.texts[after], j) {
		d.container(i, j, place{parent: -1})
	} else {
		d.value(i, j, place{parent: -1})
	}
}

// value compares two values and returns the offsets behind them.
func (d *differ) value(i, j int, p place) (iEnd, jEnd int) {
	a, b := d.texts[before], d.texts[after]
	if isOpen(a, i) {
		if iEnd := d.equalEnd(i, j); iEnd >= 0 {
			return iEnd, j + iEnd - i
		}
		if a[i] == at(b, j) && d.depth < maxDepth {
			return d.container(i, j, p)
		}
	}
	iEnd, jEnd = d.end(before, i), d.end(after, j)
	if d.malformed {
		return 0, 0
	}
	if !d.equal(span{i, iEnd}, span{j, jEnd}) {
		d.change(replace, d.node(p), span{j, jEnd})
	}
	return iEnd, jEnd
}

// container compares two objects or two arrays. It replaces the whole where that is
// shorter than the operations for what is inside.
func (d *differ) container(i, j int, p place) (iEnd, jEnd int) {
	start := d.mark()
	node := d.node(p)
	names := len(d.names)
	d.depth++
	var fits bool
	if d.texts[before][i] == '{' {
		iEnd, jEnd, fits = d.object(i, j, node)
	} else {
		iEnd, jEnd, fits = d.array(i, j, node)
	}
	d.depth--
	d.names = d.names[:names]
	switch {
	case d.malformed:
		return 0, 0
	case fits && len(d.changes) == start.changes:
		d.reset(start)
	case !fits || d.size-start.size > d.sizeOf(replace, node, jEnd-j):
		d.reset(start)
		d.change(replace, d.node(p), span{j, jEnd})
	}
	return iEnd, jEnd
}

// equal reports whether the bytes of x, in the text before, equal those of y, in the
// text after.
func (d *differ) equal(x, y span) bool {
	if x.end-x.start != y.end-y.start {
		return false
	}
	d.work += x.end - x.start
	return bytes.Equal(d.texts[before][x.start:x.end], d.texts[after][y.start:y.end])
}

// over reports whether there is no use in going on in an object or array.
func (d *differ) over() bool { return d.malformed || d.size > d.limit }

// abandon returns the ends of an object or array in which i and j lie, and that its
// operations do not fit.
func (d *differ) abandon(i, j int) (iEnd, jEnd int, fits bool) {
	if d.malformed {
		return 0, 0, false
	}
	iEnd, jEnd = skipRest(d.texts[before], i), skipRest(d.texts[after], j)
	d.malformed = iEnd < 0 || jEnd < 0
	d.work += iEnd - i + jEnd - j
	return iEnd, jEnd, false
}

// end returns the offset behind the value at i.
func (d *differ) end(side, i int) int {
	end := -1
	if isOpen(d.texts[side], i) {
		end = d.index[side].end(i)
	}
	if end < 0 {
		end = skipValue(d.texts[side], i)
		d.work += end - i
	}
	if end < 0 {
		d.malformed = true
	}
	return end
}

// array compares the arrays at i and j: what is equal at their start and at their
// end is set aside, and what is left is compared in pairs.
func (d *differ) array(i, j int, node int32) (iEnd, jEnd int, fits bool) {
	a, b := d.texts[before], d.texts[after]
	i, j = skipSpace(a, i+1), skipSpace(b, j+1)
	first := 0
	for at(a, i) != ']' && at(b, j) != ']' {
		iNext, jNext, equal := d.equalElement(i, j)
		if d.malformed {
			return 0, 0, false
		}
		if !equal {
			break
		}
		first++
		iNext, jNext = skipSpace(a, iNext), skipSpace(b, jNext)
		if at(a, iNext) != ',' || at(b, jNext) != ',' {
			// The rest of the longer array starts with a comma.
			i, j = iNext, jNext
			break
		}
		i, j = skipSpace(a, iNext+1), skipSpace(b, jNext+1)
	}
	var old, new []span
	old, iEnd = d.elements(before, i)
	new, jEnd = d.elements(after, j)
	if d.malformed {
		return 0, 0, false
	}
	for len(old) > 0 && len(new) > 0 && len(old)+len(new) > 2 {
		x, y := old[len(old)-1], new[len(new)-1]
		if !d.equal(x, y) {
			break
		}
		old, new = old[:len(old)-1], new[:len(new)-1]
	}
	pairs := min(len(old), len(new))
	for k := range pairs {
		d.value(old[k].start, new[k].start, place{parent: node, index: first + k})
		if d.over() {
			return iEnd, jEnd, false
		}
	}
	for range len(old) - pairs {
		d.change(remove, d.node(place{parent: node, index: first + pairs}), span{})
		if d.over() {
			return iEnd, jEnd, false
		}
	}
	for k := pairs; k < len(new); k++ {
		d.change(add, d.node(place{parent: node, index: first + k}), new[k])
		if d.over() {
			return iEnd, jEnd, false
		}
	}
	return iEnd, jEnd, true
}

// equalElement reports whether the bytes of two values are equal, and returns the
// offsets behind them if they are.
func (d *differ) equalElement(i, j int) (iEnd, jEnd int, equal bool) {
	a, b := d.texts[before], d.texts[after]
	if isOpen(a, i) {
		iEnd = d.equalEnd(i, j)
		return iEnd, j + iEnd - i, iEnd >= 0
	}
	if isOpen(b, j) {
		return 0, 0, false
	}
	iEnd, jEnd = d.end(before, i), d.end(after, j)
	return iEnd, jEnd, !d.malformed && d.equal(span{i, iEnd}, span{j, jEnd})
}

// object compares the objects at i and j: member by member as long as the names come
// in the same order, and then by name.
func (d *differ) object(i, j int, node int32) (iEnd, jEnd int, fits bool) {
	a, b := d.texts[before], d.texts[after]
	names, changes := len(d.names), len(d.changes)
	i, j = skipSpace(a, i+1), skipSpace(b, j+1)
	for at(a, i) == '"' && at(b, j) == '"' {
		nameEnd := skipString(a, i)
		if nameEnd < 0 {
			break
		}
		if d.run(i, j) < nameEnd {
			var done bool
			if i, j, done = d.oneRun(i, j, node); done && !d.over() {
				continue
			}
			break
		}
		name := a[i+1 : nameEnd-1]
		d.names = append(d.names, int32(i))
		i, j = skipColon(a, nameEnd), skipColon(b, j+nameEnd-i)
		if i < 0 || j < 0 {
			d.malformed = true
			return 0, 0, false
		}
		i, j = d.value(i, j, place{parent: node, name: name})
		if d.over() {
			return d.abandon(i, j)
		}
		i, j = skipSpace(a, i), skipSpace(b, j)
		if at(a, i) != ',' || at(b, j) != ',' {
			break
		}
		i, j = skipSpace(a, i+1), skipSpace(b, j+1)
	}
	passed := d.names[names:]
	if at(a, i) == '}' && at(b, j) == '}' {
		return i + 1, j + 1, len(d.changes) == changes || d.distinct(passed, before, nil)
	}
	var old, new []member
	old, iEnd = d.members(before, i)
	new, jEnd = d.members(after, j)
	if d.malformed {
		return 0, 0, false
	}
	if !d.distinct(passed, before, old) || !d.distinct(passed, after, new) {
		return iEnd, jEnd, false
	}
	return iEnd, jEnd, d.byName(old, new, node)
}

// oneRun handles the case that some members in a row were added, or removed, and
// everything behind them, up to the end of the document, is equal: it makes the
// operations, and returns the offsets behind the members. No name behind them can be
// one of theirs, because names are distinct in either text.
func (d *differ) oneRun(i, j int, node int32) (iNext, jNext int, done bool) {
	a, b := d.texts[before], d.texts[after]
	side, start, next := before, i, j+len(a)-len(b)
	if next < i {
		side, start, next = after, j, i+len(b)-len(a)
	}
	text := d.texts[side]
	if d.tried || next == start || len(text)-next > d.suffix() {
		return i, j, false
	}
	d.tried = true
	var members []member
	for start < next {
		m := d.member(side, start)
		if d.malformed || at(text, skipSpace(text, m.end)) != ',' {
			return i, j, false
		}
		members = append(members, m)
		start = skipSpace(text, skipSpace(text, m.end)+1)
	}
	if start != next || at(text, next) != '"' {
		return i, j, false
	}
	for _, m := range members {
		p := place{parent: node, name: m.raw(text)}
		if side == before {
			d.names = append(d.names, int32(m.name.start))
			d.change(remove, d.node(p), span{})
		} else {
			d.names = append(d.names, ^int32(m.name.start))
			d.change(add, d.node(p), span{m.value, m.end})
		}
	}
	if side == before {
		return next, j, true
	}
	return i, next, true
}

// byName compares members that come in different orders, and reports false where the
// patch becomes too large.
func (d *differ) byName(old, new []member, node int32) (fits bool) {
	a, b := d.texts[before], d.texts[after]
	for len(old) > 0 && len(new) > 0 {
		x, y := old[len(old)-1], new[len(new)-1]
		if !d.equal(span{x.name.start, x.end}, span{y.name.start, y.end}) {
			break
		}
		old, new = old[:len(old)-1], new[:len(new)-1]
	}
	var positions map[string]int
	if len(old) > 0 && len(new) > 0 {
		positions = d.positions(new)
	}
	for _, m := range old {
		p := place{parent: node, name: m.raw(a)}
		if k, found := positions[string(m.content(a))]; found {
			d.value(m.value, new[k].value, p)
			new[k].end = -1 // not to be added
		} else {
			d.change(remove, d.node(p), span{})
		}
		if d.over() {
			return false
		}
	}
	for _, m := range new {
		if m.end < 0 {
			continue
		}
		d.change(add, d.node(place{parent: node, name: m.raw(b)}), span{m.value, m.end})
		if d.over() {
			return false
		}
	}
	return true
}

// positions returns where the members of the text after have each name. The names
// share one copy of the text.
func (d *differ) positions(members []member) map[string]int {
	text := d.texts[after]
	if d.afterText == "" {
		d.afterText = string(text)
	}
	positions := make(map[string]int, len(members))
	for k, m := range members {
		if raw := m.raw(text); bytes.IndexByte(raw, '\\') >= 0 {
			positions[string(unescaped(raw))] = k
		} else {
			positions[d.afterText[m.name.start+1:m.name.end-1]] = k
		}
	}
	return positions
}

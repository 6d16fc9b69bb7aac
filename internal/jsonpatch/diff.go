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
// Arrays are compared in pairs of elements after their common prefix and suffix were
// set aside, so that insertions or removals in one place cost what they change. A
// list that loses elements at one end and gets others at the other end costs those.
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
	index    [2]index
	triedRun bool // changeRun was tried

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

// mustStop reports whether a text is malformed, or the patch too large already.
func (d *differ) mustStop() bool { return d.malformed || d.size > d.limit }

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

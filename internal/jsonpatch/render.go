package jsonpatch

import "strconv"

// The texts of operations, around the path and the value.
const (
	addStart     = `{"op":"add","path":"`
	removeStart  = `{"op":"remove","path":"`
	replaceStart = `{"op":"replace","path":"`
	valueStart   = `","value":`
)

func (k kind) start() string {
	switch k {
	case add:
		return addStart
	case remove:
		return removeStart
	}
	return replaceStart
}

// change is one operation of the patch that a differ makes. Its text is written when
// it is certain that it stays.
type change struct {
	kind  kind
	node  int32
	value span // in the text after
}

// pathNode is the path of a value that a differ has met: the path of its parent and
// one more reference token. Paths share their start, because those of values that
// nest deep would together be larger than the texts.
type pathNode struct {
	parent int32
	token  span // in differ.tokens, with the slash, as it is in a canonical JSON string
	length int  // of the whole path
}

// place is the path of a value that has no node yet.
type place struct {
	parent int32  // -1 for the document
	name   []byte // as it is in the text; nil for an element
	index  int
}

// node makes the path of a place.
func (d *differ) node(p place) int32 {
	if p.parent < 0 {
		return 0
	}
	start := len(d.tokens)
	d.tokens = append(d.tokens, '/')
	if p.name == nil {
		d.tokens = strconv.AppendInt(d.tokens, int64(p.index), 10)
	} else {
		d.tokens = d.appendName(p.name)
	}
	token := span{start, len(d.tokens)}
	d.path = append(d.path, pathNode{p.parent, token, d.path[p.parent].length + token.end - token.start})
	return int32(len(d.path) - 1)
}

// appendName appends a name of one of the texts as a reference token.
func (d *differ) appendName(raw []byte) []byte {
	simple := true
	for _, c := range raw {
		if !plain[c] || c == '~' || c == '/' {
			simple = false
			break
		}
	}
	if simple {
		return append(d.tokens, raw...)
	}
	name, valid := unescape(nil, raw)
	if !valid {
		d.malformed = true
	}
	return appendQuoted(d.tokens, appendToken(nil, name))
}

// sizeOf returns the size of an operation, with a comma.
func (d *differ) sizeOf(k kind, node int32, value int) int {
	size := len(k.start()) + d.path[node].length
	if k == remove {
		return size + len(`"},`)
	}
	return size + len(valueStart) + value + len(`},`)
}

// change adds an operation to the patch.
func (d *differ) change(k kind, node int32, value span) {
	d.changes = append(d.changes, change{k, node, value})
	d.size += d.sizeOf(k, node, value.end-value.start)
}

// mark is a state of a patch to which a differ can return.
type mark struct{ path, tokens, changes, size int }

func (d *differ) mark() mark {
	return mark{len(d.path), len(d.tokens), len(d.changes), d.size}
}

// reset removes everything that was added since the mark.
func (d *differ) reset(m mark) {
	d.path, d.tokens, d.changes, d.size = d.path[:m.path], d.tokens[:m.tokens], d.changes[:m.changes], m.size
}

// render returns the text of the patch.
func (d *differ) render() []byte {
	out := make([]byte, 0, d.size+1)
	for k, c := range d.changes {
		if k == 0 {
			out = append(out, '[')
		} else {
			out = append(out, ',')
		}
		out = append(out, c.kind.start()...)
		out = d.appendPath(out, c.node)
		if c.kind == remove {
			out = append(out, `"}`...)
			continue
		}
		out = append(out, valueStart...)
		out = append(out, d.texts[after][c.value.start:c.value.end]...)
		out = append(out, '}')
	}
	return append(out, ']')
}

// appendPath appends a path, from its last token to its first.
func (d *differ) appendPath(out []byte, node int32) []byte {
	start := len(out)
	end := start + d.path[node].length
	out = out[:end] // the capacity is the size of the patch
	for ; node > 0; node = d.path[node].parent {
		token := d.path[node].token
		end -= token.end - token.start
		copy(out[end:], d.tokens[token.start:token.end])
	}
	return out
}

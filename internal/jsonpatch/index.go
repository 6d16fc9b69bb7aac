package jsonpatch

import (
	"bytes"
	"slices"
)

// index remembers where objects and arrays end. A differ makes it for those ranges
// of a text in which it must know the end of a value before it descends into it, so
// that each byte is scanned once, however deep the values nest.
type index struct {
	values []span // of the objects and arrays, by their start
	to     int    // everything is known of what starts before
	open   []int
}

// end returns the offset behind the object or array at i, or -1 if it is not known.
func (x *index) end(i int) int {
	if i >= x.to {
		return -1
	}
	k, found := slices.BinarySearchFunc(x.values, i, func(s span, i int) int { return s.start - i })
	if !found {
		return -1
	}
	return x.values[k].end
}

// fill adds what starts between i, which is between two tokens of an object or array,
// and the end of that object or array. It reports false if that has no end.
func (x *index) fill(text []byte, i int) bool {
	x.open = x.open[:0]
	for i < len(text) {
		switch class[text[i]] {
		case quoteByte:
			if i = skipString(text, i); i < 0 {
				return false
			}
			continue
		case openByte:
			x.open = append(x.open, len(x.values))
			x.values = append(x.values, span{i, -1})
		case closeByte:
			if len(x.open) == 0 {
				x.to = i
				return true
			}
			last := len(x.open) - 1
			x.values[x.open[last]].end = i + 1
			x.open = x.open[:last]
		}
		i++
	}
	return false
}

// fill makes the ends of everything between i and the end of the object or array
// in which i lies known.
func (d *differ) fill(side, i int) bool {
	x := &d.index[side]
	if i < x.to {
		return true
	}
	filled := x.fill(d.texts[side], i)
	d.work += x.to - i
	return filled
}

// elements returns the elements of an array from i on, where an element, a comma or
// the closing bracket is, and the offset behind the array.
func (d *differ) elements(side, i int) (elements []span, end int) {
	text := d.texts[side]
	if !d.fill(side, i) {
		d.malformed = true
		return nil, 0
	}
	if at(text, i) == ',' {
		i = skipSpace(text, i+1)
	}
	for at(text, i) != ']' {
		end := d.end(side, i)
		if d.malformed {
			return nil, 0
		}
		elements = append(elements, span{i, end})
		if i = skipSpace(text, end); at(text, i) == ',' {
			i = skipSpace(text, i+1)
		} else if at(text, i) != ']' {
			d.malformed = true
			return nil, 0
		}
	}
	return elements, i + 1
}

// member is a member of an object; its value ends where it ends.
type member struct {
	name       span // with the quotes
	value, end int
}

// raw returns the bytes between the quotes of the name.
func (m *member) raw(text []byte) []byte { return text[m.name.start+1 : m.name.end-1] }

// content returns the name.
func (m *member) content(text []byte) []byte { return unescaped(m.raw(text)) }

// unescaped returns the name that raw, the content of a JSON string, means.
func unescaped(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	name, _ := unescape(nil, raw)
	return name
}

// members returns the members of an object from i on, where a member, a comma or the
// closing bracket is, and the offset behind the object.
func (d *differ) members(side, i int) (members []member, end int) {
	text := d.texts[side]
	if !d.fill(side, i) {
		d.malformed = true
		return nil, 0
	}
	if at(text, i) == ',' {
		i = skipSpace(text, i+1)
	}
	for at(text, i) != '}' {
		m := d.member(side, i)
		if d.malformed {
			return nil, 0
		}
		members = append(members, m)
		if i = skipSpace(text, m.end); at(text, i) == ',' {
			i = skipSpace(text, i+1)
		} else if at(text, i) != '}' {
			d.malformed = true
			return nil, 0
		}
	}
	return members, i + 1
}

// member returns the member at i.
func (d *differ) member(side, i int) member {
	text := d.texts[side]
	m := member{name: span{i, -1}, value: -1}
	if at(text, i) == '"' {
		m.name.end = skipString(text, i)
	}
	if m.name.end >= 0 {
		m.value = skipColon(text, m.name.end)
	}
	if m.value < 0 {
		d.malformed = true
		return m
	}
	m.end = d.end(side, m.value)
	return m
}

// distinct reports whether all names of an object are different: those that were
// passed in the object, and those of the members that follow in one of the texts.
func (d *differ) distinct(passed []int32, side int, rest []member) bool {
	count := len(passed) + len(rest)
	name := func(k int) []byte {
		if k >= len(passed) {
			return rest[k-len(passed)].raw(d.texts[side])
		}
		text, start := d.texts[before], int(passed[k])
		if start < 0 {
			text, start = d.texts[after], ^start
		}
		return text[start+1 : skipString(text, start)-1]
	}
	// Programs often write names in ascending order.
	ascending := true
	for k := 0; k < count && ascending; k++ {
		ascending = bytes.IndexByte(name(k), '\\') < 0 && (k == 0 || bytes.Compare(name(k-1), name(k)) < 0)
	}
	if ascending {
		return true
	}
	seen := make(map[string]struct{}, count)
	for k := range count {
		seen[string(unescaped(name(k)))] = struct{}{}
	}
	return len(seen) == count
}

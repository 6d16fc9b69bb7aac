package jsonpatch

import "slices"

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

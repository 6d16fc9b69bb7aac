package jsonpatch

import "sort"

// equalRun knows how far the two texts are equal from a place on. Nothing is compared
// or scanned again while a differ descends inside of such a range: otherwise values
// that nest deep, and differ at their end, would take quadratic time.
type equalRun struct {
	from, to int // before[from:to] equals after[from+shift:to+shift]
	shift    int
	known    bool

	// spine has where the objects and arrays start that are open at spineTo: those
	// that contain the end of the range. Every other one that starts behind
	// spine[0] and before spineTo ends there too.
	spine   []int
	spineTo int

	ending int // how much both texts have in common at their end, plus 1; 0: not known
}

// run returns up to where the text before, from i on, is equal to the text after,
// from j on.
func (d *differ) run(i, j int) int {
	if !d.known || j-i != d.shift || i < d.from || i > d.to {
		d.known, d.from, d.shift = true, i, j-i
		d.to = i + commonPrefix(d.texts[before][i:], d.texts[after][j:])
		d.work += d.to - i
	}
	return d.to
}

// suffix returns how many bytes the texts have in common at their end.
func (d *differ) suffix() int {
	if d.ending == 0 {
		d.ending = commonSuffix(d.texts[before], d.texts[after]) + 1
		d.work += d.ending
	}
	return d.ending - 1
}

// equalEnd returns the offset behind the object or array at i, if its bytes are
// equal to those at j, and otherwise -1.
func (d *differ) equalEnd(i, j int) int {
	to := d.run(i, j)
	if to == i {
		return -1
	}
	text := d.texts[before][:to]
	if d.spineTo == to && len(d.spine) > 0 && i >= d.spine[0] {
		k := sort.SearchInts(d.spine, i)
		if k < len(d.spine) && d.spine[k] == i {
			return -1
		}
		end := skipRest(text, i+1)
		d.work += end - i
		return end
	}
	var end int
	d.spine, end = openAtEnd(d.spine[:0], text, i)
	d.spineTo = to
	if end < 0 {
		d.work += to - i
	} else {
		d.work += end - i
	}
	return end
}

// openAtEnd returns the offset behind the object or array at i. If the text ends
// before, it returns -1, and appends to open where each one starts that is not closed.
func openAtEnd(open []int, text []byte, i int) ([]int, int) {
	for i < len(text) {
		switch class[text[i]] {
		case quoteByte:
			if i = skipString(text, i); i < 0 {
				return open, -1
			}
			continue
		case openByte:
			open = append(open, i)
		case closeByte:
			if open = open[:len(open)-1]; len(open) == 0 {
				return open, i + 1
			}
		}
		i++
	}
	return open, -1
}

package jsonpatch

// array compares the arrays at i and j: what is equal at their start and at their
// end is set aside. What is left is compared in pairs, unless one is the other one
// moved on, like a list of the last messages.
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
	if r := overlap(len(old), len(new), func(x, y int) bool { return d.equal(old[x], new[y]) }); r > 0 {
		d.removeElements(node, first, r)
		kept := len(old) - r
		first, old, new = first+kept, nil, new[kept:]
	} else if r := overlap(len(new), len(old), func(y, x int) bool { return d.equal(old[x], new[y]) }); r > 0 {
		d.addElements(node, first, new[:r])
		first, old, new = first+len(new), old[len(new)-r:], nil
	}
	pairs := min(len(old), len(new))
	for k := range pairs {
		if d.mustStop() {
			return iEnd, jEnd, false
		}
		d.value(old[k].start, new[k].start, place{parent: node, index: first + k})
	}
	d.removeElements(node, first+pairs, len(old)-pairs)
	d.addElements(node, first+pairs, new[pairs:])
	return iEnd, jEnd, !d.mustStop()
}

// overlap finds a window that has moved: it returns the smallest number of elements
// to drop from a list of n, so that the rest is the start of a list of m elements.
// It returns 0 where there is none, and tries one candidate only.
func overlap(n, m int, equal func(x, y int) bool) int {
	drop := max(1, n-m)
	for ; drop < n && !equal(drop, 0); drop++ {
	}
	for k := drop + 1; k < n; k++ {
		if !equal(k, k-drop) {
			return 0
		}
	}
	if drop >= n {
		return 0
	}
	return drop
}

// removeElements removes elements from an index on.
func (d *differ) removeElements(node int32, index, count int) {
	for ; count > 0 && !d.mustStop(); count-- {
		d.change(remove, d.node(place{parent: node, index: index}), span{})
	}
}

// addElements adds elements before an index, or at the end.
func (d *differ) addElements(node int32, index int, elements []span) {
	for k, element := range elements {
		if d.mustStop() {
			return
		}
		d.change(add, d.node(place{parent: node, index: index + k}), element)
	}
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

// elements returns the elements of an array from i on, where an element, a comma or
// the closing bracket is, and the offset behind the array.
func (d *differ) elements(side, i int) (elements []span, end int) {
	end = d.passRest(side, i, ']', func(start int) (end int) {
		end = d.end(side, start)
		elements = append(elements, span{start, end})
		return end
	})
	return elements, end
}

// passRest calls pass for each element or member from i on, where one of them, a comma
// or the closing bracket is, and returns the offset behind the array or object. pass is
// given where it starts, and returns the offset behind it.
func (d *differ) passRest(side, i int, closing byte, pass func(start int) (end int)) (end int) {
	text := d.texts[side]
	d.malformed = d.malformed || !d.fill(side, i)
	if at(text, i) == ',' {
		i = skipSpace(text, i+1)
	}
	for !d.malformed && at(text, i) != closing {
		end := pass(i)
		if d.malformed {
			break
		}
		if i = skipSpace(text, end); at(text, i) == ',' {
			i = skipSpace(text, i+1)
		} else if at(text, i) != closing {
			d.malformed = true
		}
	}
	return i + 1
}

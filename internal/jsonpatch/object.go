package jsonpatch

import "bytes"

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
			if i, j, done = d.changeRun(i, j, node); done && !d.mustStop() {
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
		if d.mustStop() {
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

// changeRun makes the operations for members in a row that were added, or removed, if
// everything behind them, up to the end of the document, is equal. It returns the
// offsets behind the members. No name behind them can be
// one of theirs, because names are distinct in either text.
func (d *differ) changeRun(i, j int, node int32) (iNext, jNext int, done bool) {
	a, b := d.texts[before], d.texts[after]
	side, start, next := before, i, j+len(a)-len(b)
	if next < i {
		side, start, next = after, j, i+len(b)-len(a)
	}
	text := d.texts[side]
	if d.triedRun || next == start || len(text)-next > d.suffix() {
		return i, j, false
	}
	d.triedRun = true
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
		if d.mustStop() {
			return false
		}
	}
	for _, m := range new {
		if m.end < 0 {
			continue
		}
		d.change(add, d.node(place{parent: node, name: m.raw(b)}), span{m.value, m.end})
		if d.mustStop() {
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
	end = d.passRest(side, i, '}', func(start int) (end int) {
		m := d.member(side, start)
		members = append(members, m)
		return m.end
	})
	return members, end
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

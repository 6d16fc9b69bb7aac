package jsonpatch

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The functions of this file move over JSON text that is known to be valid. They do
// not check it, but they end and stay within the text whatever it contains. Where
// they cannot go on they return -1.

// class tells the bytes apart that matter between strings.
const (
	scalarByte = iota // part of a number, true, false or null
	spaceByte
	separatorByte // comma or colon
	quoteByte
	openByte
	closeByte
)

var class = [256]uint8{
	' ': spaceByte, '\t': spaceByte, '\n': spaceByte, '\r': spaceByte,
	',': separatorByte, ':': separatorByte,
	'"': quoteByte,
	'{': openByte, '[': openByte,
	'}': closeByte, ']': closeByte,
}

// at returns the byte at i, or 0 behind the end of the text.
func at(text []byte, i int) byte {
	if uint(i) < uint(len(text)) {
		return text[i]
	}
	return 0
}

// skipSpace returns the offset of the first byte from i on that is not white space.
func skipSpace(text []byte, i int) int {
	for i < len(text) && class[text[i]] == spaceByte {
		i++
	}
	return i
}

// skipString returns the offset behind the string that starts at i.
func skipString(text []byte, i int) int {
	start := i
	i++
	// Most strings are names and other short ones: look at eight bytes at once.
	if i+8 <= len(text) {
		const ones, tops = 0x0101010101010101, 0x8080808080808080
		word := binary.LittleEndian.Uint64(text[i:])
		quotes := word ^ '"'*ones
		if quotes = (quotes - ones) &^ quotes & tops; quotes != 0 {
			n := bits.TrailingZeros64(quotes) / 8
			escapes := word ^ '\\'*ones
			if escapes = (escapes - ones) &^ escapes & tops; escapes == 0 || bits.TrailingZeros64(escapes)/8 > n {
				return i + n + 1
			}
		}
	}
	for i < len(text) {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return -1
		}
		i += n + 1
		if text[i-2] != '\\' {
			return i
		}
		// The quote is part of the string if an odd number of backslashes precedes it.
		first := i - 2
		for first > start+1 && text[first-1] == '\\' {
			first--
		}
		if (i-1-first)%2 == 0 {
			return i
		}
	}
	return -1
}

// skipScalar returns the offset behind the number or literal that starts at i.
func skipScalar(text []byte, i int) int {
	start := i
	for i < len(text) && class[text[i]] == scalarByte {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// skipValue returns the offset behind the value that starts at i.
func skipValue(text []byte, i int) int {
	switch class[at(text, i)] {
	case quoteByte:
		return skipString(text, i)
	case openByte:
		return skipRest(text, i+1)
	}
	return skipScalar(text, i)
}

// skipRest returns the offset behind the object or array in which i lies, between
// two of its tokens.
func skipRest(text []byte, i int) int {
	depth := 1
	for i < len(text) {
		switch class[text[i]] {
		case quoteByte:
			if i = skipString(text, i); i < 0 {
				return -1
			}
			continue
		case openByte:
			depth++
		case closeByte:
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// skipColon returns the offset of the value of the member whose name ends before i.
func skipColon(text []byte, i int) int {
	i = skipSpace(text, i)
	if at(text, i) != ':' {
		return -1
	}
	if i = skipSpace(text, i+1); i == len(text) {
		return -1
	}
	return i
}

// isOpen reports whether an object or array starts at i.
func isOpen(text []byte, i int) bool { return class[at(text, i)] == openByte }

// commonPrefix returns how many bytes a and b have in common at their start.
func commonPrefix(a, b []byte) int {
	const block = 1024
	length := min(len(a), len(b))
	i := 0
	for ; i+8 <= length; i += 8 {
		if different := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); different != 0 {
			return i + bits.TrailingZeros64(different)/8
		}
		// A run that is longer than a few words is compared in blocks.
		if i == 64 {
			for i+block <= length && bytes.Equal(a[i:i+block], b[i:i+block]) {
				i += block
			}
			if i > 64 {
				i -= 8
			}
		}
	}
	for i < length && a[i] == b[i] {
		i++
	}
	return i
}

// commonSuffix returns how many bytes a and b have in common at their end.
func commonSuffix(a, b []byte) int {
	const block = 1024
	count := 0
	for size := block; size > 0; size /= 32 {
		for count+size <= min(len(a), len(b)) && bytes.Equal(a[len(a)-count-size:len(a)-count], b[len(b)-count-size:len(b)-count]) {
			count += size
		}
	}
	return count
}

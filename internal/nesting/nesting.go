// Package nesting bounds how deep JSON nests before a parser sees it: parsers recurse
// or keep a stack.
package nesting

import "bytes"

// OffsetBeyond returns the offset of the first bracket that opens more than limit
// levels of objects and arrays, or -1 if there is none. It is exact for JSON. For
// anything else it may be wrong after the first syntax error, because of which a
// parser refuses the text anyway.
//
// Most texts have fewer brackets than the limit has levels, and counting bytes costs
// almost nothing.
func OffsetBeyond(text []byte, limit int) int {
	if bytes.Count(text, []byte{'{'})+bytes.Count(text, []byte{'['}) <= limit {
		return -1
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			if depth++; depth > limit {
				return i
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return -1
}

package wire

import "bytes"

// tooDeep returns the offset of the first bracket that opens more than limit
// levels of objects and arrays, or -1. It is exact for JSON; for anything else
// it may err on either side after the first syntax error, where the frame is
// refused anyway.
//
// It runs before the parser, whose recursion it bounds. Most frames have fewer
// brackets than the limit has levels, and counting bytes is nearly free.
func tooDeep(data []byte, limit int) int {
	if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) <= limit {
		return -1
	}
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if depth++; depth > limit {
				return i
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		}
	}
	return -1
}

package jsonpatch

import "bytes"

// validPointer reports whether the text is a JSON Pointer (RFC 6901 section 3).
func validPointer[T []byte | string](pointer T) bool {
	if len(pointer) > 0 && pointer[0] != '/' {
		return false
	}
	for i := 0; i < len(pointer); i++ {
		if pointer[i] == '~' && (i+1 == len(pointer) || pointer[i+1] != '0' && pointer[i+1] != '1') {
			return false
		}
	}
	return true
}

// nextToken splits the first reference token off a pointer that is not empty.
func nextToken(pointer []byte) (token, rest []byte) {
	if n := bytes.IndexByte(pointer[1:], '/'); n >= 0 {
		return pointer[1 : n+1], pointer[n+1:]
	}
	return pointer[1:], nil
}

// tokenName returns the member name that a reference token means: the token itself
// if it has no escape.
func tokenName(token []byte) []byte {
	if bytes.IndexByte(token, '~') < 0 {
		return token
	}
	name := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '~' && i+1 < len(token) {
			i++
			c = '~'
			if token[i] == '1' {
				c = '/'
			}
		}
		name = append(name, c)
	}
	return name
}

// appendToken appends the reference token that means name.
func appendToken(dst, name []byte) []byte {
	for _, c := range name {
		switch c {
		case '~':
			dst = append(dst, '~', '0')
		case '/':
			dst = append(dst, '~', '1')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// tokenIndex returns the array index that a reference token means (RFC 6901 section
// 4: digits without leading zeros), or -1 for every other token.
func tokenIndex(token []byte) int {
	const mostDigits = 15 // more elements than fit into a memory
	if len(token) == 0 || len(token) > mostDigits || token[0] == '0' && len(token) > 1 {
		return -1
	}
	index := 0
	for _, c := range token {
		if c < '0' || c > '9' {
			return -1
		}
		index = index*10 + int(c-'0')
	}
	return index
}

// Find returns the bytes of the value inside text that an RFC 6901 pointer refers to.
// It reports false if there is no such value, if the pointer is malformed, and where
// text is not JSON. The token "-" refers to no value. Find does not check text; it
// moves over what precedes the value.
func Find(text []byte, pointer string) (value []byte, found bool) {
	if !validPointer(pointer) {
		return nil, false
	}
	i := skipSpace(text, 0)
	for rest := []byte(pointer); len(rest) > 0; {
		var token []byte
		token, rest = nextToken(rest)
		switch at(text, i) {
		case '{':
			i = findMember(text, i, tokenName(token))
		case '[':
			i = findElement(text, i, tokenIndex(token))
		default:
			return nil, false
		}
		if i < 0 {
			return nil, false
		}
	}
	end := skipValue(text, i)
	if end < 0 {
		return nil, false
	}
	return text[i:end:end], true
}

// findMember returns where the value of a member of the object at i starts, or -1.
func findMember(text []byte, i int, name []byte) int {
	for i = skipSpace(text, i+1); at(text, i) == '"'; i = skipSpace(text, i+1) {
		end := skipString(text, i)
		if end < 0 {
			return -1
		}
		value := skipColon(text, end)
		if value < 0 || equalName(text[i+1:end-1], name) {
			return value
		}
		if i = skipValue(text, value); i < 0 {
			return -1
		}
		if i = skipSpace(text, i); at(text, i) != ',' {
			return -1
		}
	}
	return -1
}

// findElement returns where an element of the array at i starts, or -1.
func findElement(text []byte, i, index int) int {
	i = skipSpace(text, i+1)
	if index < 0 || at(text, i) == ']' {
		return -1
	}
	for ; index > 0; index-- {
		if i = skipValue(text, i); i < 0 {
			return -1
		}
		if i = skipSpace(text, i); at(text, i) != ',' {
			return -1
		}
		i = skipSpace(text, i+1)
	}
	return i
}

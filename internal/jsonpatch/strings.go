package jsonpatch

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape appends the content of a JSON string, without its quotes, to dst, with
// its escapes resolved. It reports false for an escape that RFC 8259 does not have
// and for half of a surrogate pair.
func unescape(dst, raw []byte) ([]byte, bool) {
	for {
		n := bytes.IndexByte(raw, '\\')
		if n < 0 {
			return append(dst, raw...), true
		}
		dst = append(dst, raw[:n]...)
		raw = raw[n+1:]
		if len(raw) == 0 {
			return dst, false
		}
		escape := raw[0]
		raw = raw[1:]
		switch escape {
		case '"', '\\', '/':
			dst = append(dst, escape)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(raw)
			if r < 0 {
				return dst, false
			}
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
					return dst, false
				}
				if r = utf16.DecodeRune(r, hex4(raw[2:])); r == utf8.RuneError {
					return dst, false
				}
				raw = raw[6:]
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, false
		}
	}
}

// hex4 returns the value of four hexadecimal digits, or -1.
func hex4(text []byte) rune {
	if len(text) < 4 {
		return -1
	}
	var r rune
	for _, c := range text[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// equalName reports whether raw, the content of a JSON string without its quotes, is
// the name. No name that has an escape is shorter than without it.
func equalName(raw, name []byte) bool {
	if len(raw) <= len(name) {
		return bytes.Equal(raw, name) && bytes.IndexByte(raw, '\\') < 0
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return false
	}
	var buffer [64]byte
	content, valid := unescape(buffer[:0], raw)
	return valid && bytes.Equal(content, name)
}

// plain has the bytes that stand for themselves in a canonical string. 0xE2 is the
// first byte of U+2028 and U+2029, and of many characters that stand for themselves.
var plain = func() (table [256]bool) {
	for c := ' '; c < 256; c++ {
		table[c] = true
	}
	for _, c := range []byte{'"', '\\', '<', '>', '&', 0xE2} {
		table[c] = false
	}
	return table
}()

// appendQuoted appends the content of the canonical JSON string that means name,
// without the quotes.
func appendQuoted(dst, name []byte) []byte {
	const digits = "0123456789abcdef"
	start := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		if plain[c] {
			continue
		}
		if c == 0xE2 {
			if isLineSeparator(name[i:]) {
				dst = append(dst, name[start:i]...)
				dst = append(dst, `\u202`...)
				dst = append(dst, digits[name[i+2]&0xF])
				i += 2
				start = i + 1
			}
			continue
		}
		dst = append(dst, name[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xF])
		}
		start = i + 1
	}
	return append(dst, name[start:]...)
}

// isLineSeparator reports whether the text starts with U+2028 or U+2029.
func isLineSeparator(text []byte) bool {
	return len(text) >= 3 && text[0] == 0xE2 && text[1] == 0x80 && text[2]&^1 == 0xA8
}

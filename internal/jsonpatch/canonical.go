package jsonpatch

import "bytes"

// Canonical returns the canonical form of a JSON text: without white space between
// tokens, and with <, >, &, U+2028 and U+2029 in strings written as \u003c, \u003e,
// \u0026, \u2028 and \u2029. Everything else stays as it is, the order of members and
// the spelling of numbers and of other escapes included. It is the form in which
// encoding/json writes a [json.RawMessage].
//
// It returns text itself if it is canonical already, and does not check it.
func Canonical(text []byte) []byte {
	if isCanonical(text) {
		return text
	}
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(text)+64)
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			quoted = !quoted
		case '\\':
			i++ // what is escaped is never special
		case ' ', '\t', '\n', '\r':
			if !quoted {
				out = append(out, text[start:i]...)
				start = i + 1
			}
		case '<', '>', '&':
			out = append(out, text[start:i]...)
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xF])
			start = i + 1
		case 0xE2:
			if isLineSeparator(text[i:]) {
				out = append(out, text[start:i]...)
				out = append(out, `\u202`...)
				out = append(out, digits[text[i+2]&0xF])
				i += 2
				start = i + 1
			}
		}
	}
	return append(out, text[start:]...)
}

// isCanonical reports whether Canonical would change nothing. All but spaces can be
// found without looking at the tokens, because valid JSON has the other bytes either
// only between tokens or only in strings.
func isCanonical(text []byte) bool {
	for _, c := range []byte("\t\n\r<>&") {
		if bytes.IndexByte(text, c) >= 0 {
			return false
		}
	}
	for rest := text; ; {
		n := bytes.IndexByte(rest, 0xE2)
		if n < 0 {
			break
		}
		if isLineSeparator(rest[n:]) {
			return false
		}
		rest = rest[n+1:]
	}
	if bytes.IndexByte(text, ' ') < 0 {
		return true
	}
	for i := 0; i < len(text); {
		switch class[text[i]] {
		case spaceByte:
			return false
		case quoteByte:
			if i = skipString(text, i); i < 0 {
				return true
			}
		default:
			i++
		}
	}
	return true
}

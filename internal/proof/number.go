package proof

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// exactDigits is the number of decimal digits up to which every integer is exact in
// double precision.
const exactDigits = 15

// inexactNumber returns the first number of valid JSON that its canonical form would
// change, or "". RFC 8785 section 3.2.2.3 writes every number as the shortest decimal
// that double precision reads as the same number: of 2^53+1 it makes 2^53, and there
// is none for 1e999. What was signed would not be what was proposed.
func inexactNumber(raw json.RawMessage) string {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case c == '-' || '0' <= c && c <= '9':
			end := i
			for end < len(raw) && isNumberByte(raw[end]) {
				end++
			}
			if number := raw[i:end]; !isExact(number) {
				return string(number)
			}
			i = end - 1
		}
	}
	return ""
}

// isNumberByte reports whether the byte occurs in JSON numbers.
func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// isExact reports whether a number and its canonical form are the same decimal.
func isExact(number []byte) bool {
	if len(number) <= exactDigits && !bytes.ContainsAny(number, ".eE") {
		return true // the usual case
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil {
		return false
	}
	digits, exponent, ok := decimal(number)
	canonicalDigits, canonicalExponent, _ := decimal(strconv.AppendFloat(nil, f, 'e', -1, 64))
	if len(digits) == 0 {
		return len(canonicalDigits) == 0 // 0, whatever the exponent
	}
	return ok && exponent == canonicalExponent && bytes.Equal(digits, canonicalDigits)
}

// decimal returns a number as digits without zeros at either end, and the power of ten
// of the first one. The sign is left out. It returns false for an exponent that is
// beyond all that double precision has.
func decimal(number []byte) (digits []byte, exponent int, ok bool) {
	number = bytes.TrimPrefix(number, []byte("-"))
	var err error
	if i := bytes.IndexAny(number, "eE"); i >= 0 {
		exponent, err = strconv.Atoi(string(number[i+1:]))
		number = number[:i]
	}
	whole, fraction, _ := bytes.Cut(number, []byte("."))
	exponent += len(whole) - 1
	digits = append(bytes.Clone(whole), fraction...)
	significant := bytes.TrimLeft(digits, "0")
	exponent -= len(digits) - len(significant)
	return bytes.TrimRight(significant, "0"), exponent, err == nil
}

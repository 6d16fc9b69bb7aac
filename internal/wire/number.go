package wire

// maxInteger is the greatest integer that every JSON implementation keeps
// exact: 2^53 - 1 (RFC 7493, section 2.2). It bounds all integers of the protocol.
const maxInteger = 1<<53 - 1

// parseInteger returns the value of a JSON number that is an integer from 0 to
// maxInteger, however it is written: 1, 1.0, 10e-1 and 0.1e1 are one number,
// as in JSON Schema (draft 2020-12, Core, section 4.2.1 and 4.2.3). literal
// must be a number by JSON's grammar.
//
// It takes linear time; exact arithmetic on any number would not.
func parseInteger(literal []byte) (value uint64, ok bool) {
	negative := literal[0] == '-'
	if negative {
		literal = literal[1:]
	}
	var (
		zeros    int64 // digits 0 that were read and not yet multiplied into value
		exponent int64 // the number is value * 10^(zeros+exponent)
		fraction bool  // the decimal point was read
	)
digits:
	for i, c := range literal {
		switch c {
		case '.':
			fraction = true
			continue
		case 'e', 'E':
			exponent += parseExponent(literal[i+1:])
			break digits
		}
		if fraction {
			exponent--
		}
		if c == '0' {
			zeros++
			continue
		}
		if value, ok = shift(value, zeros+1); !ok {
			return 0, false
		}
		value += uint64(c - '0')
		zeros = 0
	}
	value, ok = shift(value, zeros+exponent)
	if !ok || value > maxInteger || negative && value != 0 {
		return 0, false
	}
	return value, true
}

// shift returns value * 10^places, if that is an integer up to maxInteger. The
// last digit of value is not 0, unless value is 0.
func shift(value uint64, places int64) (shifted uint64, ok bool) {
	if value == 0 {
		return 0, true
	}
	if places < 0 {
		return 0, false
	}
	for ; places > 0; places-- {
		if value > maxInteger/10 {
			return 0, false
		}
		value *= 10
	}
	return value, true
}

// parseExponent returns the exponent of a number from the text after the "e". It
// limits it to a range that is larger than any number of digits in memory.
func parseExponent(literal []byte) int64 {
	const most = 1 << 50
	negative := literal[0] == '-'
	if negative || literal[0] == '+' {
		literal = literal[1:]
	}
	var exponent int64
	for _, c := range literal {
		exponent = min(exponent*10+int64(c-'0'), most)
	}
	if negative {
		return -exponent
	}
	return exponent
}

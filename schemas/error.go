package schemas

import "strings"

// Error says what is wrong with a frame. Its message is one line.
type Error struct {
	// Type is the frame's type, such as "propose"; empty if it is missing, unknown
	// or could not be read.
	Type string
	// Problems has at least one element, in the order of Pointer.
	Problems []Problem
}

// Problem is one thing that is wrong with a frame.
type Problem struct {
	// Pointer is the JSON Pointer (RFC 6901) to the wrong value; "" is the whole
	// frame. If it is longer than 128 bytes, it is the pointer to the nearest
	// ancestor with a shorter one.
	Pointer string
	// Message continues a sentence that begins with the place, such as "is
	// missing".
	Message string
}

// Error names each place and what is wrong there.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Type != "" {
		b.WriteString(e.Type)
		b.WriteByte(' ')
	}
	b.WriteString("frame: ")
	for i, problem := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		if problem.Pointer != "" {
			b.WriteString(printable(problem.Pointer))
			b.WriteByte(' ')
		}
		b.WriteString(problem.Message)
	}
	return b.String()
}

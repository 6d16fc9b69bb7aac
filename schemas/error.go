package schemas

import "strings"

// Error says what is wrong with a frame. Its message is one line.
type Error struct {
	// Type is the frame's type, such as "propose"; empty where it has none
	// that is known, or could not be read.
	Type string
	// Problems are one or more, ordered by Pointer.
	Problems []Problem
}

// Problem is one thing that is wrong with a frame.
type Problem struct {
	// Pointer is the JSON Pointer (RFC 6901) to the place; "" is the frame as
	// a whole. A place with a pointer of more than 128 bytes is given by its
	// nearest ancestor with a shorter one.
	Pointer string
	// Message is what follows the place in a sentence, such as "is missing".
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

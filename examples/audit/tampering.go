package main

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// tampering is one way to change an export. change gets its lines: ten entries and a
// checkpoint.
type tampering struct {
	name   string
	change func(lines []string) []string
}

func tamperings() []tampering {
	return []tampering{
		{"a field is changed", func(lines []string) []string {
			lines[4] = raisePrice(lines[4])
			return lines
		}},
		{"a field is changed, and its hash computed again", func(lines []string) []string {
			lines[4] = withHash(raisePrice(lines[4]))
			return lines
		}},
		{"a rejection is turned into an acceptance", func(lines []string) []string {
			before, rest, _ := strings.Cut(lines[3], `"accepted":false,"reason":`)
			_, after, _ := strings.Cut(rest, `,"caller"`)
			lines[3] = before + `"accepted":true,"caller"` + after
			return lines
		}},
		{"an entry is removed", func(lines []string) []string { return slices.Delete(lines, 4, 5) }},
		{"an entry is inserted", func(lines []string) []string {
			return slices.Insert(lines, 4, withHash(raisePrice(lines[4])))
		}},
		{"an entry is repeated", func(lines []string) []string { return slices.Insert(lines, 4, lines[3]) }},
		{"two entries are swapped", func(lines []string) []string {
			lines[3], lines[4] = lines[4], lines[3]
			return lines
		}},
		{"the end is removed, but for the checkpoint", func(lines []string) []string { return slices.Delete(lines, 7, 10) }},
		{"the end is removed, with the checkpoint", func(lines []string) []string { return lines[:7] }},
		{"the file is cut off in the middle of an entry", func(lines []string) []string {
			return append(lines[:7], lines[7][:100])
		}},
		{"the start is removed", func(lines []string) []string { return lines[3:] }},
		{"an entry is changed, and all later ones chained again", func(lines []string) []string { return chainAgain(lines, true) }},
		{"the same, without the checkpoint", func(lines []string) []string { return chainAgain(lines, false) }},
	}
}

// raisePrice changes what was proposed.
func raisePrice(line string) string { return strings.Replace(line, `"price":`, `"price":9`, 1) }

// hashMember begins the end of a line, which is not hashed.
const hashMember = `,"hash":"`

// withHash computes the hash of an entry again. Anybody can.
func withHash(line string) string {
	body := line[:strings.LastIndex(line, hashMember)]
	return fmt.Sprintf("%s%s%x\"}\n", body, hashMember, sha256.Sum256([]byte(body)))
}

// chainAgain changes the entry in line 5 and computes all hashes after it again. The
// checkpoint cannot be signed again without the key.
func chainAgain(lines []string, checkpoint bool) []string {
	const previousMember = `,"previous":"`
	lines[4] = withHash(raisePrice(lines[4]))
	for i := 5; i < len(lines)-1; i++ {
		hash := strings.LastIndex(lines[i-1], hashMember) + len(hashMember)
		previous := strings.LastIndex(lines[i], previousMember) + len(previousMember)
		lines[i] = withHash(lines[i][:previous] + lines[i-1][hash:hash+64] + lines[i][previous+64:])
	}
	if !checkpoint {
		lines = lines[:len(lines)-1]
	}
	return lines
}

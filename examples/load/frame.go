package main

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/safe-go/safe/replay"
)

// The functions of this file find members of a frame without decoding its JSON. They rely
// on the order in which the server writes members: the type comes first, then the
// shareDataId and, in a transaction, its transactionId; currentState and patch, which
// hold anything, come after those, and cursor, revision and replaying after the states.

// first returns the text from behind the first mark on. Marks have quotation marks, which
// are escaped within JSON strings, so that none is found in a string.
func first(frame []byte, mark string) []byte {
	if at := bytes.Index(frame, []byte(mark)); at >= 0 {
		return frame[at+len(mark):]
	}
	return nil
}

// last returns the text from behind the last mark on.
func last(frame []byte, mark string) []byte {
	if at := bytes.LastIndex(frame, []byte(mark)); at >= 0 {
		return frame[at+len(mark):]
	}
	return nil
}

// text is what comes before the next quotation mark.
func text(b []byte) []byte {
	value, _, _ := bytes.Cut(b, []byte(`"`))
	return value
}

// number is the decimal number that b begins with, or 0.
func number(b []byte) (n uint64) {
	for _, digit := range b {
		if digit < '0' || digit > '9' {
			break
		}
		n = n*10 + uint64(digit-'0')
	}
	return n
}

// cursor reads "<epoch>-<revision>". Cursors are opaque to applications; this program
// reads them because it checks the revisions that they stand for.
func cursor(b []byte) replay.Cursor {
	epoch, revision, _ := bytes.Cut(text(b), []byte("-"))
	return replay.Cursor{Epoch: number(epoch), Revision: number(revision)}
}

// sentAt returns the time stamp that the proposer put into the state, or 0. It comes in a
// state, or in a patch of it.
func sentAt(frame []byte) int64 {
	if stamp := first(frame, `"sentAt":`); stamp != nil {
		return int64(number(stamp))
	}
	return int64(number(first(frame, `"/sentAt","value":`)))
}

// stampPlace is where the time stamp goes in proposed data.
const stampPlace = "{sentAt}"

// filled is proposed data with the time stamp in its place.
func filled(data string, stamp int64) string {
	return strings.Replace(data, stampPlace, strconv.FormatInt(stamp, 10), 1)
}

// proposalData returns an object of about size bytes that has a place for a time stamp.
func proposalData(size int) string {
	const stampDigits = 16 // microseconds since 1970
	empty := `{"sentAt":` + stampPlace + `,"pad":""}`
	pad := max(0, size-len(empty)+len(stampPlace)-stampDigits)
	return strings.TrimSuffix(empty, `"}`) + strings.Repeat("x", pad) + `"}`
}

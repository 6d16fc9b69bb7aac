package client

import (
	"strings"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// This file decides, without goroutine, clock or socket, which of the frames
// that were sent and not answered yet the server complains about.

// messageTooBig is the close code of RFC 6455 section 7.4.1.
const messageTooBig = 1009

// suspect is a frame that was sent on a connection and is not answered yet.
type suspect struct {
	// call is the correlation id of a propose or ping; otherwise the frame is
	// a subscribe to shareDataID.
	call        string
	shareDataID string
	size        int
}

// blameSubscribe returns the index of the subscribe that was refused with the
// report, or nobody. The suspects are in the order of their frames. A server that
// neither has the field for an id nor puts it into its text is taken to answer
// in order.
func blameSubscribe(report wire.Error, suspects []suspect) int {
	oldest, longest := nobody, nobody
	for i, s := range suspects {
		switch {
		case s.call != "":
		case report.ShareDataID != "":
			if s.shareDataID == report.ShareDataID {
				return i
			}
		default:
			if oldest < 0 {
				oldest = i
			}
			if strings.Contains(report.Message, s.shareDataID) &&
				(longest < 0 || len(s.shareDataID) > len(suspects[longest].shareDataID)) {
				longest = i
			}
		}
	}
	if longest >= 0 {
		return longest
	}
	return oldest
}

// What blame functions return instead of an index.
const (
	nobody  = -1
	several = -2 // one of the proposals
)

// proposal reports whether the frame is a propose. That alone carries what a
// user wrote; everything else is wholly this package's work.
func (s suspect) proposal() bool { return s.call != "" && s.shareDataID != "" }

// blameClose returns the index of the frame for which the connection was closed
// with the code after the report, nobody, or several.
func blameClose(code int, report wire.Error, suspects []suspect) int {
	switch code {
	case codes.CloseUnknownShareData:
		return blameSubscribe(report, suspects)
	case codes.CloseInvalidMessage:
		for i, s := range suspects {
			if s.call != "" && s.call == report.CorrelationID {
				return i
			}
			if s.call == "" && report.CorrelationID == "" && s.shareDataID == report.ShareDataID {
				return i
			}
		}
		return blameProposal(suspects)
	case messageTooBig:
		// If any frame is over the server's limit, the largest one is.
		largest := nobody
		for i, s := range suspects {
			if largest < 0 || s.size > suspects[largest].size {
				largest = i
			}
		}
		return largest
	}
	return nobody
}

// blameProposal returns the index of the only proposal, or, without one, of the
// only suspect.
func blameProposal(suspects []suspect) int {
	found := nobody
	for i, s := range suspects {
		switch {
		case !s.proposal():
		case found >= 0:
			return several
		default:
			found = i
		}
	}
	if found == nobody && len(suspects) == 1 {
		return 0
	}
	return found
}

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

// sentFrame is a frame that was sent on a connection and is not answered yet.
type sentFrame struct {
	// call is the correlation id of a propose or ping; otherwise the frame is
	// a subscribe to shareDataID.
	call        string
	shareDataID string
	size        int
}

// attributeSubscribe returns the index of the subscribe that was refused with the
// report, or none. The frames are in the order of their frames. A server that
// neither has the field for an id nor puts it into its text is taken to answer
// in order.
func attributeSubscribe(report wire.Error, frames []sentFrame) int {
	oldest, longest := none, none
	for i, s := range frames {
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
				(longest < 0 || len(s.shareDataID) > len(frames[longest].shareDataID)) {
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
	none    = -1
	several = -2 // one of the proposals
)

// proposal reports whether the frame is a propose. That alone carries what a
// user wrote; everything else is wholly this package's work.
func (s sentFrame) proposal() bool { return s.call != "" && s.shareDataID != "" }

// attributeClose returns the index of the frame for which the connection was closed
// with the code after the report, none, or several.
func attributeClose(code int, report wire.Error, frames []sentFrame) int {
	switch code {
	case codes.CloseUnknownShareData:
		return attributeSubscribe(report, frames)
	case codes.CloseInvalidMessage:
		for i, s := range frames {
			if s.call != "" && s.call == report.CorrelationID {
				return i
			}
			if s.call == "" && report.CorrelationID == "" && s.shareDataID == report.ShareDataID {
				return i
			}
		}
		return onlyProposal(frames)
	case messageTooBig:
		// If any frame is over the server's limit, the largest one is.
		largest := none
		for i, s := range frames {
			if largest < 0 || s.size > frames[largest].size {
				largest = i
			}
		}
		return largest
	}
	return none
}

// onlyProposal returns the index of the only proposal, or, without one, of the
// only sentFrame.
func onlyProposal(frames []sentFrame) int {
	found := none
	for i, s := range frames {
		switch {
		case !s.proposal():
		case found >= 0:
			return several
		default:
			found = i
		}
	}
	if found == none && len(frames) == 1 {
		return 0
	}
	return found
}

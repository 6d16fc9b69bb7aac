package client

import (
	"strings"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// This file decides, without goroutine, clock or socket, which unanswered frame
// an error or a close of the server is about.

// closeMessageTooBig is the close code of RFC 6455 section 7.4.1.
const closeMessageTooBig = 1009

// sentFrame is a frame that was sent on a connection and is not answered: a
// subscribe, a propose or a ping.
type sentFrame struct {
	correlationID string // of a propose or ping; empty for a subscribe
	shareDataID   string // of a subscribe or propose
	size          int    // in bytes
}

// isProposal reports whether the frame is a propose. Only a propose carries what
// a user wrote; this package makes everything else.
func (f sentFrame) isProposal() bool { return f.correlationID != "" && f.shareDataID != "" }

// Results of the attribute functions besides an index.
const (
	none    = -1
	several = -2 // one of the proposals, unknown which
)

// attributeSubscribe returns the index of the subscribe that the error refuses,
// or none. The frames are in the order of sending. A server that neither has the
// field for an id nor puts the id into its text is taken to answer in order.
func attributeSubscribe(report wire.Error, frames []sentFrame) int {
	oldest, longest := none, none
	for i, f := range frames {
		switch {
		case f.correlationID != "":
		case report.ShareDataID != "":
			if f.shareDataID == report.ShareDataID {
				return i
			}
		default:
			if oldest < 0 {
				oldest = i
			}
			if strings.Contains(report.Message, f.shareDataID) &&
				(longest < 0 || len(f.shareDataID) > len(frames[longest].shareDataID)) {
				longest = i
			}
		}
	}
	if longest >= 0 {
		return longest
	}
	return oldest
}

// attributeClose returns the index of the frame for which the server closed the
// connection with the code, after the error frame, or none, or several.
func attributeClose(code int, report wire.Error, frames []sentFrame) int {
	switch code {
	case codes.CloseUnknownShareData:
		return attributeSubscribe(report, frames)
	case codes.CloseInvalidMessage:
		for i, f := range frames {
			if f.correlationID != "" && f.correlationID == report.CorrelationID {
				return i
			}
			if f.correlationID == "" && report.CorrelationID == "" && f.shareDataID == report.ShareDataID {
				return i
			}
		}
		return onlyProposal(frames)
	case closeMessageTooBig:
		// If any frame is over the server's limit, the largest one is.
		largest := none
		for i, f := range frames {
			if largest < 0 || f.size > frames[largest].size {
				largest = i
			}
		}
		return largest
	}
	return none
}

// onlyProposal returns the index of the only proposal, several if there are more,
// and, if there is none, the index of the only frame or none.
func onlyProposal(frames []sentFrame) int {
	found := none
	for i, f := range frames {
		switch {
		case !f.isProposal():
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

// closeCodeAfter returns the close code that a server may send after an error
// frame with the code; 0 for none.
func closeCodeAfter(code string) int {
	switch code {
	case codes.UnknownShareData:
		return codes.CloseUnknownShareData
	case codes.InvalidMessage:
		return codes.CloseInvalidMessage
	}
	return 0
}

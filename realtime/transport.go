package realtime

import "errors"

// errReadOn ends a goroutine that has read, because the peer sends little: the session waits
// for more without it, or on a new one. The stack of this one has grown, and would stay as
// large.
var errReadOn = errors.New("read on")

// parker is a transport of which no goroutine need wait for the peer.
type parker interface {
	// park has the session read on when there is something to read, which may be at once.
	// It returns false if that is not possible at the moment.
	park(s *session) bool
}

// transport carries the frames of one session to its peer, in the bytes of its
// protocol, and what the peer requests to the session. It decides nothing: who may
// what, catch-up, limits and the order of frames are the session's.
//
//	peer -> transport.read -> session.receive -> ...
//	... -> outbox -> session.write -> transport.write -> peer
type transport interface {
	// read takes requests until the connection ends, and returns why. It returns
	// errReadOn if it is to be called again.
	read(s *session) error
	// write writes a chunk, and blocks until the network has taken it. The session's
	// writer calls it; after an error or the last chunk it is not called again. The
	// buffer is the transport's until it returns.
	write(c *chunk, buffer *writeBuffer) error
	// traffic returns how many bytes came from the peer, and how many the network took
	// for it. It may be called at any time, like all below.
	traffic() (received, written uint64)
	// answersPings says whether a living peer sends something when it gets a ping.
	answersPings() bool
	// boundUnsent has the network take little more than it can send at once.
	boundUnsent()
	// cut ends the connection at once: read and write return.
	cut()
	// closeFrame says how the peer, or the library that speaks the protocol, has ended
	// the connection, from the error of read; 0 if that is not known.
	closeFrame(err error) (code int, reason string)
}

package realtime

import (
	"encoding/binary"

	"github.com/coder/websocket"
)

// takeControlFrame acts on a control frame (RFC 6455 section 5.5) that is the next in the
// buffer, and is there as a whole. It leaves all else, and what violates the protocol, to
// the library, which takes more of the stack, and is of no use after a close. The error
// is a websocket.CloseError when the peer has closed the connection.
func (t *webSocket) takeControlFrame() (taken bool, err error) {
	buffered := t.reader.buffered
	received, _ := buffered.Peek(buffered.Buffered())
	first, payload, ok := controlFrame(received)
	if !ok {
		return false, nil
	}
	switch first {
	case finalPing:
		t.session.receivePing(payload)
	case finalPong:
		t.session.allowControlFrame()
	default:
		peer, ok := closeError(payload)
		if !ok {
			return false, nil
		}
		t.session.beginClosing() // has the connection cut if the reply cannot be written
		if _, err := t.socket.Write(append(appendHeader(nil, finalClose, len(payload)), payload...)); err != nil {
			return true, err
		}
		return true, peer
	}
	buffered.Discard(controlHeader + len(payload))
	return true, nil
}

// controlHeader is the size of the header of a control frame from a client: two bytes and the
// mask.
const controlHeader = 6

// controlFrame returns the first byte of a control frame and its payload, if that is what
// the bytes begin with.
func controlFrame(received []byte) (first byte, payload []byte, ok bool) {
	if len(received) < controlHeader || received[0] < finalClose || received[0] > finalPong || received[1]&0x80 == 0 {
		return 0, nil, false
	}
	n := int(received[1] & 0x7F)
	if n > 125 || controlHeader+n > len(received) {
		return 0, nil, false
	}
	if n > 0 {
		payload = make([]byte, n)
		for i := range payload {
			payload[i] = received[controlHeader+i] ^ received[2+i%4]
		}
	}
	return received[0], payload, true
}

// closeError is what the payload of a close frame says (section 5.5.1), if its code is one
// that a client may send (section 7.4).
func closeError(payload []byte) (websocket.CloseError, bool) {
	if len(payload) == 0 {
		return websocket.CloseError{Code: websocket.StatusNoStatusRcvd}, true
	}
	if len(payload) < 2 {
		return websocket.CloseError{}, false
	}
	code := websocket.StatusCode(binary.BigEndian.Uint16(payload))
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return websocket.CloseError{Code: code, Reason: string(payload[2:])}, true
	}
	return websocket.CloseError{}, false
}

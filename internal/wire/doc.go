// Package wire holds the frames of the protocol, version 1, and their codec.
// Every frame is one JSON text {"v":1,"type":…}.
//
//   - Strict. [DecodeClient] and [DecodeServer] take exactly the frames that
//     the JSON Schemas in package schemas allow, and of these only strict JSON
//     within [Limits]. A fuzz test holds the two against each other.
//   - Tolerant of what is new. Members that a frame does not have are ignored,
//     so that a later version may add some.
//   - Cheap. A frame is parsed once; raw JSON (states, proposed data, proofs)
//     is passed on as the bytes that came, without a copy. See [DecodeClient]
//     on who then owns them.
//   - Explained. A refused frame gives a [*DecodeError]: a reason for
//     errors.Is, the place, and the correlationId to answer with. Package
//     schemas words all that is wrong with a frame, for the error path.
//   - Safe. No input makes a decoder panic, recurse beyond its limit, or take
//     time or memory out of proportion to the frame's size.
//   - Well-formed. Every AppendTo yields one valid JSON text without white
//     space, whatever bytes the message's strings hold.
package wire

// Package wire holds the frames of the protocol, version 1, and their codec.
// Every frame is one JSON text {"v":1,"type":…}.
//
//   - Strict. [DecodeClient] and [DecodeServer] accept exactly the frames that
//     the JSON Schemas in package schemas allow, and of these only strict JSON
//     within [Limits]. A fuzz test compares the decoders with the schemas.
//   - Extensible. Unknown members are ignored, so that a later version may add
//     some.
//   - Cheap. A frame is parsed once. Raw JSON (states, proposed data, proofs) is
//     a slice of the frame, not a copy; [DecodeClient] says who owns it.
//   - Explained. The error for a refused frame is a [*DecodeError]: it has a
//     reason for errors.Is, the place, and the correlationId for the reply.
//     Package schemas describes everything that is wrong with a frame.
//   - Safe. No input makes a decoder panic, recurse deeper than its limit, or use
//     time or memory out of proportion to the frame's size.
//   - Well-formed. Every AppendTo appends one valid JSON text without white
//     space, whatever bytes the message's strings have.
package wire

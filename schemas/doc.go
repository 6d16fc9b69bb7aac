// Package schemas has the JSON Schemas (draft 2020-12) of every frame of the wire
// protocol, version 1: one document for each frame, and one for each direction
// that covers all frames that a client, or a server, may send.
//
//   - The documents are embedded. [FS] returns them, to publish them or to
//     generate code from them. They refer to each other by relative references,
//     so they can be served from any address.
//   - Members that a schema does not name are allowed: a peer ignores unknown
//     members.
//   - A [Validator] says in one readable line what is wrong with a frame. It is
//     for error messages: package internal/wire decodes frames, and accepts and
//     refuses the same ones many times faster.
//
// Package schemas/codes has the codes of results, errors and closes.
package schemas

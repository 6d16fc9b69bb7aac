// Package schemas holds the JSON Schemas (draft 2020-12) of every frame of the
// wire protocol, version 1: one document per frame, and one per direction that
// covers all frames a client, or a server, may send.
//
//   - The documents are embedded; [FS] gives them to whoever wants to publish
//     them or to generate code from them. They refer to each other by relative
//     reference, so they can be served from any address.
//   - Members that a schema does not name are allowed: a peer ignores what it
//     does not know.
//   - A [Validator] says in one readable line what is wrong with a frame. It
//     is made for the way an error takes; package internal/wire decodes frames
//     and gives the same verdict many times faster.
package schemas

// Package jsonpatch makes, applies and follows JSON Patches (RFC 6902) on JSON texts,
// without decoding them: [Diff] makes the patch between two texts, [Apply] applies
// one, [Find] follows a JSON Pointer (RFC 6901), and [Canonical] gives the canonical
// form of a text. All functions are safe for concurrent use, as long as nobody changes
// a text while they read it.
//
// # The text that Apply makes
//
// RFC 6902 says which JSON value a patch leads to. Here the text is specified as well,
// so that every party that applies the same patch to the same text holds the same
// bytes, and a hash of them shows it. The operations of a patch are applied one after
// the other, each to the text that the one before made. Offsets below are those of
// bytes; W stands for any amount of white space, which canonical texts do not have.
//
//   - Only add, remove and replace exist. The bytes that "value" has in the patch are
//     inserted as they are.
//   - The path "" stands for the document: add and replace make the whole text the
//     value. It cannot be removed.
//   - replace of a member or element, and add of a member that the object has
//     already: the bytes of its old value become those of the new one. The name and
//     its place stay.
//   - add of another member: directly behind the value of the last member, a comma,
//     the name, a colon, and the value; in an object without members directly before
//     its closing bracket, without the comma. The name is written as RFC 8785 section
//     3.2.2.2 says (that is JSON.stringify), and in addition <, >, &, U+2028 and U+2029
//     as \u003c, \u003e, \u0026, \u2028 and \u2029.
//   - add of the element i: directly before the element i, the value and a comma. Where
//     i is the length of the array, or "-": directly behind the last element, a comma
//     and the value; in an empty array directly before its closing bracket, the value.
//   - remove of a member or element that is the first of several: from its first byte
//     up to the first byte of the next one, which includes the comma behind it. Of the
//     only one: its bytes. Of another one: from the end of the one before it up to its
//     own end, which is W, the comma, W and the member or element.
//   - Everything else stays as it is.
//
// Names are compared as the characters that they mean, without their escapes.
// A patch fails as a whole if the target of a remove or replace does not exist, if
// the object or array in which the target lies does not exist, or if an array index
// is not digits without leading zeros (RFC 6901 section 4) or is beyond the array. An
// operation has "op", "path" and, for add and replace, "value"; other members are
// ignored. The patch must be valid JSON (RFC 8259) in UTF-8 with distinct names
// and without lone surrogates. Apply also refuses a patch that would take too long,
// as [Apply] says; what it has applied once, it applies again.
//
// Where the text and the patch are canonical, so is the result. Canonical means what
// [Canonical] returns.
package jsonpatch

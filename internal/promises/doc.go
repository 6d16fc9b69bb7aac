// Package promises has one test for each promise of the framework, by its name,
// and no other code. Many clients connect over real sockets, propose at random,
// lose connections and read slowly, while ShareData are removed and re-created.
// Package checker evaluates what every client received.
package promises

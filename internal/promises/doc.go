// Package promises holds no code but one test for each promise of the
// framework, by its name: many clients over real sockets, random proposals, cut
// connections, slow readers, removal and re-creation in between. What every
// client saw is recorded and judged by package checker.
package promises

// Package layout holds the rule of who may import whom. It has no code but the
// test that enforces it.
package layout

// Package layout tests which packages of the module import which, and that the Go code
// in the documentation compiles. It has no other code.
package layout

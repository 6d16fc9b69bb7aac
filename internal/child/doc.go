// Package child starts and pauses the child processes of tests, as far as the
// operating systems differ: it ends them with their parent where that is possible.
package child

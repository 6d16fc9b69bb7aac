// Package child has what tests need of the processes that they start, and what
// systems do differently: that they end with the test, and pauses.
package child

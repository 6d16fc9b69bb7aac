// Package hostile tests that 1,000 hostile connections harm only themselves: 50
// honest clients beside them lose nothing, the memory of the server stays within a
// bound, and no goroutine is left afterwards. The server is a process of its own.
//
// The test prints the latency of the honest clients before and during the attack.
// With SAFE_HOSTILE_RATIO, a number, it fails where the 99th percentile during the
// attack is more than so many times that before; the machine must be idle then.
package hostile

//go:build !linux

package realtime

import "syscall"

// setMaxUnsent does nothing: the bound is known to work on Linux only.
func setMaxUnsent(syscall.RawConn, int) {}

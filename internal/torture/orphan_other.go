//go:build !linux

package torture

import "syscall"

// orphan is what only Linux has.
func orphan() *syscall.SysProcAttr { return nil }

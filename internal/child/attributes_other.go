//go:build !linux

package child

import "syscall"

// Attributes returns the attributes of a command that is killed when this program
// ends. Only Linux has that; elsewhere it returns nil.
func Attributes() *syscall.SysProcAttr { return nil }

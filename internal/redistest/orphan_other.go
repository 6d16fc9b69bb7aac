//go:build !linux

package redistest

import "syscall"

func orphan() *syscall.SysProcAttr { return nil }

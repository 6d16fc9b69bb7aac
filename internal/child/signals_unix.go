//go:build unix

package child

import (
	"os"
	"syscall"
)

// Pause stops a process until Resume.
func Pause(process *os.Process) error { return process.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func Resume(process *os.Process) error { return process.Signal(syscall.SIGCONT) }

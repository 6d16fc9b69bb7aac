//go:build unix

package child

import (
	"os"
	"syscall"
)

// Pause stops a process with SIGSTOP, where signals exist.
func Pause(process *os.Process) error { return process.Signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func Resume(process *os.Process) error { return process.Signal(syscall.SIGCONT) }

// LowerPriority makes this process yield to others, where the system knows
// priorities of processes.
func LowerPriority() error { return syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19) }

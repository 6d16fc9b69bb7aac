//go:build !unix

package child

import (
	"errors"
	"os"
)

// Pause stops a process with SIGSTOP, where signals exist.
func Pause(*os.Process) error { return errors.ErrUnsupported }

// Resume continues a paused process.
func Resume(*os.Process) error { return errors.ErrUnsupported }

// LowerPriority makes this process yield to others, where the system knows
// priorities of processes.
func LowerPriority() error { return errors.ErrUnsupported }

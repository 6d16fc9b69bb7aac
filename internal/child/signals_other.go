//go:build !unix

package child

import (
	"errors"
	"os"
)

// Pause stops a process until Resume.
func Pause(*os.Process) error { return errors.ErrUnsupported }

// Resume lets a paused process go on.
func Resume(*os.Process) error { return errors.ErrUnsupported }

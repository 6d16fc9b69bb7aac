//go:build unix && !solaris && !illumos && !aix && !android

package bolt

import (
	"errors"
	"os"
	"syscall"
)

// lock locks a file as bbolt does, whose own lock of the same open file then
// changes nothing: so the file can be checked before bbolt looks at it.
func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// unlock unlocks a file. To close it is not enough where it is still mapped.
func unlock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
}

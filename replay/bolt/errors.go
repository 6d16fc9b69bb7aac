package bolt

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/safe-go/safe/replay"
)

// Errors of this package besides those of package replay, to be tested with
// errors.Is.
var (
	// ErrDamaged: the file, or the part of it that was asked for, is not what
	// was written. Histories that lie elsewhere in the file can still be used.
	ErrDamaged = errors.New("the file is damaged")
	// ErrForeign: the file was made by another program, or by a version of this
	// package that keeps it in another format.
	ErrForeign = errors.New("not a file of this store")
	// ErrLocked: another Store, in this process or in another one, has the file
	// open.
	ErrLocked = errors.New("the file is in use")
)

const (
	adviceDamaged = "stop the service, keep a copy of the file and restore the newest backup; " +
		"`bbolt check` and `bbolt surgery` of go.etcd.io/bbolt/cmd/bbolt help to save what is in it"
	adviceForeign = "give the path of a file that this store has written, or of none, and it is created"
	adviceLocked  = "stop the other process that has it open, or give this one a file of its own"
)

// damaged is an ErrDamaged that says where.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// named adds to an error of the file which file that is, and what to do.
func named(path string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, ErrDamaged):
		advice = adviceDamaged
	case errors.Is(err, ErrForeign):
		advice = adviceForeign
	case errors.Is(err, ErrLocked):
		advice = adviceLocked
	default:
		return err
	}
	return fmt.Errorf("bolt: %s: %w; %s", path, err, advice)
}

// unavailable is the error of a call that the disk did not let through.
func unavailable(path string, cause error) error {
	if errors.Is(cause, replay.ErrUnavailable) {
		return cause
	}
	advice := "see what the disk's log says; the store goes on as soon as the file can be used again"
	for _, known := range obstacles() {
		if !errors.Is(cause, known.errno) {
			// bbolt hands some causes on as text only.
			if !strings.HasSuffix(cause.Error(), known.errno.Error()) {
				continue
			}
			cause = fmt.Errorf("%w (%w)", cause, known.errno)
		}
		advice = known.advice
		break
	}
	return fmt.Errorf("bolt: %s: %w: %w; %s", path, replay.ErrUnavailable, cause, advice)
}

// obstacle is a reason for which a disk refuses to write.
type obstacle struct {
	errno  syscall.Errno
	advice string
}

func obstacles() []obstacle {
	return []obstacle{
		{syscall.ENOSPC, "free some space on the disk; the store goes on as soon as there is some"},
		{syscall.EDQUOT, "raise the quota or free some space; the store goes on as soon as there is some"},
		{syscall.EFBIG, "raise the limit on the size of a file; the store goes on as soon as it is higher"},
		{syscall.EROFS, "mount the file system for writing; the store goes on as soon as it is, or when it is opened again"},
		{syscall.EIO, "the disk fails: see its log, and make sure of a backup"},
	}
}

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
	// ErrDamaged: the file, or the part of it that a call needs, is not what was
	// written. Histories in other parts of the file can still be used. The error
	// is a *DamageError, or wraps one.
	ErrDamaged = errors.New("the file is damaged")
	// ErrForeign: the file was made by another program, or by a version of this
	// package that keeps it in another format.
	ErrForeign = errors.New("not a file of this store")
	// ErrLocked: another Store, in this process or in another one, has the file
	// open.
	ErrLocked = errors.New("the file is in use")
	// ErrFileReplaced: the file was removed from its path, or another one has
	// taken its place, while the store had it open. What would be appended would
	// be lost with the next start. The error wraps replay.ErrUnavailable, too.
	ErrFileReplaced = errors.New("the file is no longer at its path")
)

// DamageError says what is damaged. errors.Is finds ErrDamaged in it.
type DamageError struct {
	// Bucket is the name of the bucket that the damage is in; empty where it is
	// in no bucket or not known.
	Bucket string
	// Page is the number of the damaged page; 0 where the damage is not in one
	// page of a tree.
	Page uint64
	// Reason says what is wrong.
	Reason string
}

// Error names the place and the reason.
func (e *DamageError) Error() string {
	var text strings.Builder
	text.WriteString(ErrDamaged.Error())
	if e.Bucket != "" {
		fmt.Fprintf(&text, ": bucket %q", e.Bucket)
	}
	if e.Page != 0 {
		fmt.Fprintf(&text, ": page %d", e.Page)
	}
	return text.String() + ": " + e.Reason
}

// Unwrap returns ErrDamaged.
func (e *DamageError) Unwrap() error { return ErrDamaged }

func damaged(format string, args ...any) error {
	return &DamageError{Reason: fmt.Sprintf(format, args...)}
}

func damagedPage(page uint64, format string, args ...any) error {
	return &DamageError{Page: page, Reason: fmt.Sprintf(format, args...)}
}

// inBucket adds the name of a bucket to a *DamageError that has none.
func inBucket(b *bucket, err error) error {
	if damage, ok := errors.AsType[*DamageError](err); ok && damage.Bucket == "" {
		damage.Bucket = string(b.name)
	}
	return err
}

const (
	adviceDamaged = "see with bolt.Check what is damaged; stop the service, keep a copy of the file and restore the newest backup; " +
		"`bbolt surgery` of go.etcd.io/bbolt/cmd/bbolt helps to save what is in it"
	adviceForeign  = "give the path of a file that this store has written, or of no file, and it is created"
	adviceLocked   = "stop the other process that has it open, or give this one a file of its own"
	adviceReplaced = "move the file back to its path, or restart the service to use what is there now"
)

// withAdvice adds to an error of the file which file that is, and what to do.
func withAdvice(path string, err error) error {
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

// unavailable returns the error of a call that the disk has refused.
func unavailable(path string, cause error) error {
	if errors.Is(cause, replay.ErrUnavailable) {
		return cause
	}
	advice := "see what the disk's log says; the store continues as soon as the file can be used again"
	if errors.Is(cause, ErrFileReplaced) {
		advice = adviceReplaced
	}
	for _, known := range refusals() {
		if !errors.Is(cause, known.errno) {
			// bbolt returns some causes as text only.
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

// refusal is a reason for which a disk refuses to write.
type refusal struct {
	errno  syscall.Errno
	advice string
}

func refusals() []refusal {
	return []refusal{
		{syscall.ENOSPC, "free some space on the disk; the store continues as soon as there is some"},
		{syscall.EDQUOT, "raise the quota or free some space; the store continues as soon as there is some"},
		{syscall.EFBIG, "raise the limit on the size of a file; the store continues as soon as it is higher"},
		{syscall.EROFS, "mount the file system for writing; the store continues as soon as it is, or when it is opened again"},
		{syscall.EIO, "the disk fails: see its log, and make sure of a backup"},
	}
}

//go:build !unix || solaris || illumos || aix || android

package bolt

import "os"

// lock leaves the lock to bbolt, which takes it after the check. So a file that
// another process is writing to may be called damaged instead of in use.
func lock(*os.File) error { return nil }

// unlock leaves the lock to the close of the file.
func unlock(*os.File) error { return nil }

package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"runtime"
	"time"

	bbolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// openFile opens and locks a file for reading and writing.
func openFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("bolt: %s cannot be opened for writing; let this user write it: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("bolt: %s cannot be opened: %w", path, err)
	}
	if err := lock(file); err != nil {
		return nil, errors.Join(named(path, err), file.Close())
	}
	return file, nil
}

// openDatabase checks an open file and opens it through bbolt. It returns the
// id of the newest transaction, which is on the disk. The file is closed where
// it fails.
func openDatabase(path string, file *os.File, all bool) (d *database, transaction int, err error) {
	defer func() {
		if err != nil {
			_ = file.Close() // bbolt may have closed it
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, unavailable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, named(path, fmt.Errorf("%w: it is not a regular file", ErrForeign))
	}
	m, err := checkFile(file, info.Size(), all)
	if failed(err) {
		return nil, 0, unavailable(path, err)
	}
	if err != nil {
		return nil, 0, named(path, err)
	}
	if err := settle(file, &m); err != nil {
		return nil, 0, unavailable(path, err)
	}
	d = &database{file: file, disk: file, metasBytes: 2 * m.pageBytes}
	err = guarded(func() error {
		d.bolt, err = bbolt.Open(path, 0o600, boltOptions(file, info.Size()))
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, 0, named(path, ErrLocked)
	case errors.Is(err, ErrDamaged):
		return nil, 0, named(path, err)
	case err != nil:
		return nil, 0, unavailable(path, err)
	}
	d.bolt.AllocSize = growth
	return d, int(m.transaction), nil
}

// growth is how much a file grows by at once, beyond what is needed. It spares
// a sync of the file each time that it would otherwise grow.
const growth = 1 << 20

// headroom is how far a file may grow until it has to be mapped anew, for which
// bbolt waits until nobody reads.
const headroom int64 = 8 << 30

func boltOptions(file *os.File, size int64) *bbolt.Options {
	options := &bbolt.Options{
		Timeout:      time.Nanosecond, // one attempt
		FreelistType: bbolt.FreelistMapType,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return file, nil },
	}
	if bits.UintSize == 64 && runtime.GOOS != "windows" { // Windows would make the file that large
		options.InitialMmapSize = int(size + headroom)
	}
	return options
}

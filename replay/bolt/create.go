package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	bbolt "go.etcd.io/bbolt"
)

// create makes an empty file of this store at the path, unless there is a file
// by then. It is made under another name, so that a crash on the way leaves
// nothing at the path that looks damaged.
func create(path string) (err error) {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, filepath.Base(path)+".new-*")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("bolt: the folder of %s does not exist; create it first: %w", path, err)
	}
	if err != nil {
		return fmt.Errorf("bolt: %s cannot be created: %w", path, err)
	}
	name := file.Name()
	defer func() {
		if gone := os.Remove(name); err == nil && !errors.Is(gone, fs.ErrNotExist) {
			err = gone
		}
	}()
	if err := file.Close(); err != nil {
		return unavailable(path, err)
	}
	if err := initialize(name); err != nil {
		return unavailable(path, err)
	}
	if err := place(name, path); err != nil {
		return unavailable(path, err)
	}
	if err := syncFolder(folder); err != nil {
		return unavailable(path, err)
	}
	return nil
}

// initialize writes an empty store into an empty file.
func initialize(name string) error {
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error { return content{tx}.create() })
	return errors.Join(err, db.Close())
}

// place gives the file its name, unless that is taken.
func place(name, path string) error {
	err := os.Link(name, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// Not every file system has links.
	if _, taken := os.Lstat(path); taken == nil {
		return nil
	}
	return os.Rename(name, path)
}

// syncFolder has the name of a new file on the disk. Windows does not know how.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	file, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

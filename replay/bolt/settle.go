package bolt

import "io"

// disk is what settle needs of a file.
type disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// settle writes the newest meta page once more, as it is, and syncs it.
//
// After a sync has failed, or a process was killed before it, the newest meta
// page may be in the memory of the system only, and the system may take it for
// written. To go on from there would be to overwrite what the meta page on the
// disk still needs.
func settle(file disk, m *meta) error {
	page := make([]byte, m.pageBytes)
	offset := m.page * m.pageBytes
	if _, err := file.ReadAt(page, offset); err != nil {
		return err
	}
	if _, err := file.WriteAt(page, offset); err != nil {
		return err
	}
	return file.Sync()
}

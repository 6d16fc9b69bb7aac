package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/safe-go/safe/replay"
)

// Store is a replay.Store in one file. It is safe for any number of goroutines,
// and the only one that may have its file open.
type Store struct {
	path   string
	limits retention
	logger *slog.Logger
	// now is time.Now but for tests.
	now func() time.Time
	// info identifies the file, whatever is at the path.
	info fs.FileInfo
	// rolledBack is the epoch of the last rollback; 0 if there was none.
	rolledBack uint64

	queue   queue
	durable durability
	// goroutines is the one that commits groups.
	goroutines sync.WaitGroup
	// closing is closed when Close begins.
	closing   chan struct{}
	closeOnce func() error

	// mu is held for reading while the file is used, and for writing to make it
	// usable again and to close it. Lock order: mu, writing, database.mu or
	// durability.mu.
	mu       sync.RWMutex
	database *database // nil if the file could not be opened again
	closed   bool

	// writing is held while a group is written and committed.
	writing sync.Mutex
	// keepRemoved says that nothing is deleted of removed histories any more,
	// because it is damaged. It belongs to the goroutine that commits groups.
	keepRemoved bool

	// damageLog guards damageLogged, the time of the last log entry on damage. It
	// is the last lock in the order.
	damageLog    sync.Mutex
	damageLogged time.Time
}

var _ replay.Store = (*Store)(nil)

// Open opens the file at the path, or creates it if there is none; its folder
// must exist. Nil options are the defaults. It reads only the pages that lead to
// the histories, whatever the size of the file: see Check. It brings a file of
// format 2 forward, which earlier versions of this package refuse afterwards.
//
// It fails with ErrLocked, ErrForeign or ErrDamaged where the file cannot be
// used, with an error that wraps replay.ErrUnavailable where the disk does not
// let it be used, and with an error on the option when an option is negative and
// not -1.
func Open(path string, options *Options) (*Store, error) {
	if options == nil {
		options = &Options{}
	}
	s := &Store{logger: options.Logger, now: time.Now, closing: make(chan struct{})}
	s.closeOnce = sync.OnceValue(s.close)
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.limits, err = options.retention(); err != nil {
		return nil, err
	}
	if s.path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("bolt: the current folder is not known; give an absolute path: %w", err)
	}
	file, err := openFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(s.path); err != nil {
			return nil, err
		}
		file, err = openFile(s.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("bolt: %s was created but is not there: %w", s.path, err)
	}
	if err != nil {
		return nil, err
	}
	if s.info, err = file.Stat(); err != nil {
		return nil, errors.Join(unavailable(s.path, err), file.Close())
	}
	database, transaction, rollBack, err := openDatabase(s.path, file)
	if err != nil {
		return nil, err
	}
	s.database = database
	s.durable.set(transaction)
	if err := s.loadFormat(rollBack); err != nil {
		return nil, errors.Join(err, database.close())
	}
	return s, nil
}

// Close waits for what is being done and closes the file. Batches that wait for
// their turn, and calls that begin afterwards, fail with replay.ErrClosed. It
// may be called again, and returns the same error.
func (s *Store) Close() error { return s.closeOnce() }

func (s *Store) close() error {
	s.queue.close()
	close(s.closing)
	s.goroutines.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.database == nil {
		return nil
	}
	s.writeBothMetas()
	return s.failed(s.database.close())
}

// writeBothMetas commits nothing, after which both meta pages lead to all of the
// content: a file that was closed loses nothing with one of them.
func (s *Store) writeBothMetas() {
	tx, err := s.beginWrite()
	if err == nil {
		err = s.commit(tx)
	}
	if err != nil {
		s.logger.Warn("bolt: the last write to the file failed", slog.String("file", s.path), slog.Any("error", err))
	}
}

// loadFormat reads the epoch of the last rollback. With rollBack, it replaces
// that first by one that is later than every epoch in the file. It brings a file
// of the format before forward. Both are one commit, because that overwrites the
// damaged meta page, from which the next Open would know that it has to roll back.
func (s *Store) loadFormat(rollBack bool) error {
	bringForward := s.database.format < formatVersion
	tx, err := s.database.begin(rollBack || bringForward)
	if err != nil {
		return s.failed(err)
	}
	err = guarded(func() error {
		r := s.newReader(tx, s.now())
		if s.rolledBack, err = r.rollback(); err != nil {
			return err
		}
		if bringForward {
			if err := r.putVersion(); err != nil {
				return err
			}
		}
		if !rollBack {
			return nil
		}
		r.rolledBack = s.rolledBack
		latest, err := r.latestEpoch()
		if err != nil {
			return err
		}
		s.rolledBack = replay.NewEpoch(latest)
		return r.put(formatBucket, []byte(rollbackKey), binary.AppendUvarint(nil, s.rolledBack))
	})
	if err != nil || !rollBack && !bringForward {
		return s.failed(errors.Join(err, s.database.rollback(tx)))
	}
	if bringForward {
		s.logger.Info("bolt: the file is brought forward to a format that earlier versions of the program refuse",
			slog.String("file", s.path), slog.Uint64("from", s.database.format), slog.Uint64("to", formatVersion))
	}
	if rollBack {
		time.Sleep(2 * time.Millisecond) // epochs of one millisecond are in no order
		s.logger.Error("bolt: a meta page is damaged; if it was the newest one, acknowledged changes are lost, so every history continues in a later epoch",
			slog.String("file", s.path), slog.Uint64("rollback_epoch", s.rolledBack))
	}
	return s.commit(tx)
}

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
		return nil, errors.Join(withAdvice(path, err), file.Close())
	}
	return file, nil
}

// openDatabase verifies the pages of an open file that lead to the others, and
// opens it through bbolt. It returns the id of the newest transaction, which is
// then on the disk, and whether the histories have to be rolled back because a
// meta page was partly written. The file is closed where it fails.
func openDatabase(path string, file *os.File) (d *database, transaction int, rollBack bool, err error) {
	defer func() {
		if err != nil {
			_ = file.Close() // bbolt may have closed it
			err = withAdvice(path, err)
		}
	}()
	c, rollBack, err := newFileCheck(file)
	if err == nil {
		err = c.root()
	}
	if err == nil && c.meta.freelist == noFreelist {
		err = c.trees() // of which bbolt will make a list
	}
	if err != nil {
		return nil, 0, false, c.failed(path, err)
	}
	if err := rewriteMeta(file, &c.meta); err != nil {
		return nil, 0, false, unavailable(path, err)
	}
	d = &database{
		file: file, disk: file, metasBytes: 2 * c.meta.pageBytes, format: c.format,
		verifier: newVerifier(&c.meta, c.free, c.used),
	}
	err = guarded(func() error {
		d.bolt, err = bbolt.Open(path, 0o600, boltOptions(file, c.size))
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, 0, false, ErrLocked
	case errors.Is(err, ErrDamaged):
		return nil, 0, false, err
	case err != nil:
		return nil, 0, false, unavailable(path, err)
	}
	d.bolt.AllocSize = growth
	tx, err := d.begin(false) // bbolt commits where it has made a list
	if err != nil {
		return nil, 0, false, errors.Join(err, d.close())
	}
	transaction = tx.ID()
	return d, transaction, rollBack, d.rollback(tx)
}

// growth is how much a file grows by at once, beyond what is needed. It spares
// a sync of the file each time that it would otherwise grow.
const growth = 1 << 20

// headroom is how far a file may grow until it has to be mapped again, for which
// bbolt waits for all readers.
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
	err = db.Update(func(tx *bbolt.Tx) error { return (&content{tx: tx}).create() })
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

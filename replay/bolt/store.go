package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"sync"
	"time"

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
	// info tells the file from others at the same path.
	info fs.FileInfo

	queue queue
	gate  gate
	// goroutines is the one of the queue.
	goroutines sync.WaitGroup
	// closing is closed when Close begins.
	closing   chan struct{}
	closeOnce func() error

	// mu is held for reading while the file is used, and for writing to make it
	// usable again and to close it. Lock order: mu, writing, database.mu or
	// gate.mu.
	mu       sync.RWMutex
	database *database // nil if the file could not be opened anew
	closed   bool

	// writing is held while a group is written and committed.
	writing sync.Mutex
	// sweepless says that nothing is deleted of removed histories any more. It
	// belongs to the goroutine of the queue.
	sweepless bool
}

var _ replay.Store = (*Store)(nil)

// Open opens the file at the path, or creates it if there is none; its folder
// must exist. Nil options are the defaults. It fails with ErrLocked, ErrForeign
// or ErrDamaged where the file is not usable, with an error that wraps
// replay.ErrUnavailable where the disk does not let it be used, and when an
// option is negative and not -1.
func Open(path string, options *Options) (*Store, error) {
	if options == nil {
		options = &Options{}
	}
	s := &Store{path: path, logger: options.Logger, now: time.Now, closing: make(chan struct{})}
	s.closeOnce = sync.OnceValue(s.shut)
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.limits, err = options.retention(); err != nil {
		return nil, err
	}
	file, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
		file, err = openFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("bolt: %s was created but is not there: %w", path, err)
	}
	if err != nil {
		return nil, err
	}
	if s.info, err = file.Stat(); err != nil {
		return nil, errors.Join(unavailable(path, err), file.Close())
	}
	database, transaction, err := openDatabase(path, file, !options.SkipCheck)
	if err != nil {
		return nil, err
	}
	s.database = database
	s.gate.settle(transaction)
	return s, nil
}

// Load implements replay.Store.
func (s *Store) Load(ctx context.Context, id string) (head replay.Head, err error) {
	err = s.view(ctx, func(r reading) error {
		head, err = r.load(id)
		return err
	})
	if err != nil {
		return replay.Head{}, err
	}
	return head, nil
}

// Read implements replay.Store. The entries are read in one go and held in
// memory, so the limit bounds what that takes.
func (s *Store) Read(ctx context.Context, id string, after replay.Cursor, limit int) (entries []replay.Entry, err error) {
	return s.read(ctx, id, after, limit, math.MaxUint64)
}

func (s *Store) read(ctx context.Context, id string, after replay.Cursor, limit int, maxBytes uint64) (entries []replay.Entry, err error) {
	err = s.view(ctx, func(r reading) error {
		entries, err = r.read(id, after, limit, maxBytes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Find implements replay.Store. Of a history that was started over it finds
// the entries from before as well, as long as they are kept.
func (s *Store) Find(ctx context.Context, id string, keys []string) (entries []replay.Entry, err error) {
	err = s.view(ctx, func(r reading) error {
		h, err := r.head(id)
		if err != nil {
			return err
		}
		entries, err = r.find(h, keys)
		return err
	})
	switch {
	case errors.Is(err, replay.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return entries, nil
}

// Close waits for what is being done and closes the file. Batches that wait for
// their turn, and calls that begin afterwards, fail with replay.ErrClosed. It
// may be called again, and returns the same error.
func (s *Store) Close() error { return s.closeOnce() }

func (s *Store) shut() error {
	s.queue.close()
	close(s.closing)
	s.goroutines.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.database == nil {
		return nil
	}
	s.double()
	return s.fault(s.database.close())
}

// double commits nothing once more, after which both meta pages lead to all of
// the content. A file that was closed survives the loss of one of them.
func (s *Store) double() {
	tx, err := s.begin()
	if err == nil {
		err = s.commit(tx)
	}
	if err != nil {
		s.logger.Warn("bolt: the last write to the file failed", slog.String("file", s.path), slog.Any("error", err))
	}
}

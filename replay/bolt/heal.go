package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/safe-go/safe/replay"
)

// heal makes the file usable again after a write to it has failed: what the
// file says then is the truth. It waits until nobody uses the file.
func (s *Store) heal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return replay.ErrClosed
	}
	if s.database != nil && !s.database.unusable() {
		err := s.settle()
		if !errors.Is(err, errUnsettled) {
			return err
		}
	}
	return s.reopen()
}

// settle finds out whether the transaction whose commit failed is in the file,
// and then has it on the disk.
func (s *Store) settle() error {
	tx, err := s.database.begin(false)
	if err != nil {
		return s.fault(err)
	}
	visible := tx.ID()
	if err := s.database.rollback(tx); err != nil {
		return s.fault(err)
	}
	switch durable, attempted := s.gate.newest(); {
	case visible == durable:
		return nil
	case visible != attempted:
		return s.fault(errChanged)
	}
	if err := s.database.settle(); err != nil {
		return s.fault(err)
	}
	s.gate.settle(visible)
	return nil
}

// reopen opens the file anew.
func (s *Store) reopen() error {
	if s.database != nil {
		if err := s.database.close(); err != nil {
			s.logger.Warn("bolt: closing the file failed", slog.String("file", s.path), slog.Any("error", err))
		}
		s.database = nil
	}
	file, err := openFile(s.path)
	if err != nil {
		return fmt.Errorf("%w: %w", replay.ErrUnavailable, err)
	}
	if err := s.sameFile(file); err != nil {
		return errors.Join(unavailable(s.path, err), file.Close())
	}
	opened, transaction, err := openDatabase(s.path, file, false)
	if err != nil {
		return err
	}
	if durable, _ := s.gate.newest(); transaction < durable {
		err := damaged("it lost what was on the disk: it ends with transaction %d instead of %d", transaction, durable)
		return errors.Join(s.fault(err), opened.close())
	}
	s.database = opened
	s.gate.settle(transaction)
	s.logger.Warn("bolt: the file was opened anew after a failure", slog.String("file", s.path))
	return nil
}

// sameFile says whether the file is the one that Open opened.
func (s *Store) sameFile(file fs.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, s.info) {
		return errors.New("another file has taken its place; restart the service to use that one")
	}
	return nil
}

// fault is the error of a call for what went wrong with the file.
func (s *Store) fault(err error) error {
	switch {
	case err == nil, errors.Is(err, errUnsettled):
		return err
	case errors.Is(err, ErrDamaged):
		return named(s.path, err)
	}
	return unavailable(s.path, err)
}

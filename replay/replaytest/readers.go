package replaytest

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/safe-go/safe/replay"
)

func readersSeeNoHoles(f *fixture) {
	f.readWhileWriting(f.open(), unbounded, epochs{number: 1})
}

func trimmedReadersSeeNoHoles(f *fixture) {
	f.readWhileWriting(f.openBounded(5), 5, epochs{number: 1})
}

func readersSeeOneEpoch(f *fixture) {
	f.readWhileWriting(f.open(), unbounded, epochs{number: 12})
}

func readersSeeItStartOver(f *fixture) {
	f.readWhileWriting(f.open(), unbounded, epochs{number: 12, over: true})
}

func trimmedReadersSeeItStartOver(f *fixture) {
	f.readWhileWriting(f.openBounded(5), 5, epochs{number: 12, over: true})
}

// epochs says how a history is written.
type epochs struct {
	number int
	// over starts the history over after each, instead of removing it and
	// starting it again.
	over bool
}

// unbounded is the bound of a store that trims nothing in these tests.
const unbounded = -1

// entryAt is the entry that readWhileWriting writes at a position; whoever
// reads it can tell that it is the right one.
func entryAt(cursor replay.Cursor) replay.Entry {
	entry := replay.Entry{Cursor: cursor, Key: "key " + cursor.String(), Data: []byte("data " + cursor.String())}
	if cursor.Revision%3 == 1 {
		entry.State = stateAt(cursor)
	}
	return entry
}

// stateAt is the newest state and metaAt the meta when cursor is the head.
func stateAt(cursor replay.Cursor) []byte {
	cursor.Revision -= (cursor.Revision + 2) % 3
	return []byte("state " + cursor.String())
}

func metaAt(cursor replay.Cursor) []byte { return []byte("meta " + cursor.String()) }

// readWhileWriting writes an id while readers check each answer they get for
// what was committed.
func (f *fixture) readWhileWriting(s *subject, bound int, epochs epochs) {
	f.Helper()
	const batches, readers = 120, 3
	handles := []*subject{s, f.second(s)}
	written, failed := make(chan struct{}), make(chan struct{})
	fail := sync.OnceFunc(func() { close(failed) })
	looked := make(chan struct{})
	// The writer waits for a reader now and then, so that they meet however
	// fast the store is.
	pace := func(batch int) {
		if batch%2 == 1 {
			select {
			case <-looked:
			case <-failed:
			}
		}
	}
	f.together(1+readers, func(i int) error {
		if i == 0 {
			defer close(written)
			return writeEpochs(f, s.store, epochs, batches/epochs.number, pace)
		}
		r := reader{fixture: f, store: handles[i%2].store, bound: bound, over: epochs.over}
		for {
			over := ended(written)
			if err := r.look(); err != nil {
				fail()
				return err
			}
			if over {
				return nil
			}
			select {
			case looked <- struct{}{}:
			default:
				runtime.Gosched()
			}
		}
	})
}

// writeEpochs writes an id in epochs of that many batches each, and calls pace
// after each batch.
func writeEpochs(f *fixture, store replay.Store, epochs epochs, batches int, pace func(batch int)) error {
	var head replay.Cursor
	for epoch := range epochs.number {
		for i := range batches {
			batch := replay.Batch{Expect: head}
			if i == 0 {
				head = replay.Cursor{Epoch: firstEpoch + uint64(epoch)}
			}
			for range 1 + i%3 {
				head = head.Next()
				batch.Entries = append(batch.Entries, entryAt(head))
			}
			batch.Meta = metaAt(head)
			batch.Remove = !epochs.over && i == batches-1 && epoch < epochs.number-1
			if err := store.Append(f.ctx, "id", batch); err != nil {
				return fmt.Errorf("the only writer, at %s: %w", batch.Expect, err)
			}
			if batch.Remove {
				head = replay.Cursor{}
			}
			pace(i)
		}
	}
	return nil
}

// reader follows the history that writeEpochs writes.
type reader struct {
	*fixture
	store replay.Store
	bound int
	over  bool          // and never removed
	at    replay.Cursor // all up to here was seen, or was said to be trimmed
	head  replay.Cursor // the newest head that was seen
}

// look loads the head and reads on to it.
func (r *reader) look() error {
	head, err := r.store.Load(r.ctx, "id")
	if errors.Is(err, replay.ErrNotFound) && (!r.over || r.head.IsZero()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if head.Cursor.Epoch < r.head.Epoch || head.Cursor.Epoch == r.head.Epoch && head.Cursor.Revision < r.head.Revision {
		return fmt.Errorf("load: the head went back from %s to %s", r.head, head.Cursor)
	}
	if string(head.State) != string(stateAt(head.Cursor)) || string(head.Meta) != string(metaAt(head.Cursor)) {
		return fmt.Errorf("load: head %s has state %q and meta %q", head.Cursor, head.State, head.Meta)
	}
	if r.bound == unbounded && head.Oldest != 1 {
		return fmt.Errorf("load: head %s has oldest %d, but nothing had to be trimmed", head.Cursor, head.Oldest)
	}
	if head.Cursor.Epoch != r.head.Epoch {
		r.at = replay.Cursor{Epoch: head.Cursor.Epoch}
	}
	r.head = head.Cursor
	for r.at.Revision < head.Cursor.Revision {
		over, err := r.piece()
		if over || err != nil {
			return err
		}
	}
	return nil
}

// piece reads a few entries. It is over when the epoch is.
func (r *reader) piece() (over bool, err error) {
	entries, err := r.store.Read(r.ctx, "id", r.at, 10)
	refusal, refused := errors.AsType[*replay.CursorError](err)
	switch {
	case errors.Is(err, replay.ErrNotFound) && !r.over:
		return true, nil
	case errors.Is(err, replay.ErrUnknownEpoch) && refused && refusal.Head.Epoch > r.at.Epoch:
		return true, nil
	case errors.Is(err, replay.ErrCursorTooOld) && refused && r.bound != unbounded && refusal.Oldest > r.at.Revision+1:
		r.at.Revision = refusal.Oldest - 1
		return false, nil
	case err != nil:
		return true, fmt.Errorf("read after %s, when the head was %s: %w", r.at, r.head, err)
	case len(entries) == 0:
		return true, fmt.Errorf("read after %s, when the head was %s: no entries", r.at, r.head)
	}
	for _, entry := range entries {
		r.at = r.at.Next()
		if difference := differ(entry, entryAt(r.at)); difference != "" {
			return true, fmt.Errorf("read when the head was %s: %s", r.head, difference)
		}
	}
	return false, nil
}

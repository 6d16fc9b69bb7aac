package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/testlog"
	"github.com/safe-go/safe/replay"
)

// mustBeRolledBack checks a history of a file that was rolled back: it continues
// in a later epoch only, and every position from before is recognized.
func mustBeRolledBack(t *testing.T, s *Store, id string) error {
	t.Helper()
	head, err := s.Load(t.Context(), id, replay.Cursor{})
	missing := errors.Is(err, replay.ErrNotFound)
	if err != nil && !missing {
		return err
	}
	if !missing && head.RestartAfter != s.rolledBack {
		return fmt.Errorf("%w: head %s is not rolled back", errWrong, head.Cursor)
	}
	reason := replay.ConflictReplaced
	if missing {
		reason = replay.ConflictRemoved
	}
	later := head.Cursor
	for _, at := range []replay.Cursor{head.Cursor, {Epoch: head.Cursor.Epoch + 1}, {Epoch: s.rolledBack}} {
		if at.IsZero() {
			continue
		}
		batch := numbered(replay.Batch{Expect: head.Cursor}, at, []replay.Entry{entryOf("lost")})
		conflict, ok := errors.AsType[*replay.ConflictError](s.Append(t.Context(), id, batch))
		if !ok || conflict.Reason != reason {
			return fmt.Errorf("%w: a batch from %s met %+v; want %v", errWrong, at, conflict, reason)
		}
		later = conflict.Head
	}
	k := model{id: {}}
	restarted := numbered(replay.Batch{Expect: head.Cursor}, replay.Cursor{Epoch: replay.NewEpoch(later.Epoch)}, []replay.Entry{entryOf("restarted")})
	mustAppend(t, s, k, id, restarted)
	mustAppend(t, s, k, id, k.next(id, entryOf("continued")))
	if head, err = s.Load(t.Context(), id, replay.Cursor{}); err != nil || head.RestartAfter != 0 || head.Cursor.Revision != 2 {
		return fmt.Errorf("%w: head %s after the restart, restart after %d, %v", errWrong, head.Cursor, head.RestartAfter, err)
	}
	return nil
}

// crashed returns a file as kill -9 leaves it, what it holds, and what it held
// before the last commit.
func crashed(t *testing.T, closed bool) (content []byte, now, before model) {
	t.Helper()
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	for i := range 4 {
		id := fmt.Sprint("id ", i)
		mustAppend(t, s, k, id, k.next(id, entryOf("first"), entryOf("second")))
	}
	remove(t, s, k, "id 3")
	before = model{}
	for id, history := range k {
		before[id] = history.clone()
	}
	mustAppend(t, s, k, "id 1", k.next("id 1", entryOf("the newest")))
	if closed {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, k, before
}

// TestMetaPage_Damaged plants damage in each meta page. Damage that can be a
// partly written page rolls the file back; all other damage is refused. Nothing
// is silent.
func TestMetaPage_Damaged(t *testing.T) {
	type change func(damaged, other []byte)
	flip := func(at int) change { return func(damaged, _ []byte) { damaged[at] ^= 4 } }
	changes := map[string]struct {
		do     change
		refuse bool
	}{
		"zeroed":                        {func(damaged, _ []byte) { clear(damaged) }, true},
		"its beginning zeroed":          {func(damaged, _ []byte) { clear(damaged[:512]) }, true},
		"overwritten by the other":      {func(damaged, other []byte) { copy(damaged, other) }, true},
		"the other under its number":    {func(damaged, other []byte) { copy(damaged[1:], other[1:]) }, true},
		"a bit of its number":           {flip(0), true},
		"a bit of its flags":            {flip(8), true},
		"a bit of its magic":            {flip(pageHeaderBytes), true},
		"a bit of its version":          {flip(pageHeaderBytes + 4), true},
		"a bit of its page size":        {flip(pageHeaderBytes + 9), true},
		"a bit of its root":             {flip(pageHeaderBytes + 16), false},
		"a bit of its list":             {flip(pageHeaderBytes + 32), false},
		"a bit of its number of pages":  {flip(pageHeaderBytes + 40), false},
		"a bit of its transaction":      {flip(pageHeaderBytes + 48), false},
		"the lowest transaction bit":    {func(damaged, _ []byte) { damaged[pageHeaderBytes+48] ^= 1 }, false},
		"a bit of its checksum":         {flip(pageHeaderBytes + 56), false},
		"half of the other page's meta": {func(damaged, other []byte) { copy(damaged[pageHeaderBytes+16:][:36], other[pageHeaderBytes+16:]) }, false},
	}
	for _, closed := range []bool{false, true} {
		content, now, before := crashed(t, closed)
		newest, _, err := readMeta(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{newest.at, 1 - newest.at} {
			for name, change := range changes {
				t.Run(fmt.Sprintf("closed %t, newest %t, %s", closed, at == newest.at, name), func(t *testing.T) {
					corrupted, path := bytes.Clone(content), newPath(t)
					change.do(pageOf(corrupted, uint64(at)), pageOf(corrupted, uint64(1-at)))
					if err := os.WriteFile(path, corrupted, 0o600); err != nil {
						t.Fatal(err)
					}
					mustCheckAs(t, path, "meta page")
					if change.refuse {
						if _, err := Open(path, nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "meta page") {
							t.Errorf("Open: %v; want ErrDamaged", err)
						}
						return
					}
					want := now
					if at == newest.at && !closed {
						want = before
					}
					mustRollBack(t, path, want)
				})
			}
		}
	}
}

// mustRollBack opens a file one of whose meta pages is damaged.
func mustRollBack(t *testing.T, path string, want model) {
	t.Helper()
	l := &testlog.Buffer{}
	options := &Options{Logger: slog.New(slog.NewTextHandler(l, nil))}
	for range 2 { // also after it was opened again
		s := open(t, path, options)
		mustHold(t, s, want)
		for id := range want {
			if head, err := s.Load(t.Context(), id, replay.Cursor{}); err != nil || head.RestartAfter == 0 {
				t.Errorf("%q: restart after %d, %v; want an epoch", id, head.RestartAfter, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(l.String(), "level=ERROR"); n != 1 || !strings.Contains(l.String(), "acknowledged changes are lost") {
		t.Errorf("the rollback was logged %d times: %s; want once", n, l)
	}
	if err := Check(path); err != nil {
		t.Errorf("Check after the rollback: %v", err)
	}
	s := open(t, path, options)
	for _, id := range []string{"id 0", "id 1", "id 2", "id 3", "new"} {
		if err := mustBeRolledBack(t, s, id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	first := s.rolledBack
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, options)
	for id := range want {
		if head, err := s.Load(t.Context(), id, replay.Cursor{}); err != nil || head.RestartAfter != 0 {
			t.Errorf("%q is still rolled back after its restart: %v", id, err)
		}
	}
	if s.rolledBack != first {
		t.Errorf("the epoch of the rollback changed from %d to %d", first, s.rolledBack)
	}
}

// The epoch of a rollback is later than every one in the file, and than that of
// the rollback before.
func TestRollback_LatestEpoch(t *testing.T) {
	const far = 1 << 62
	for name, prepare := range map[string]func(s *Store, k model){
		"of a history": func(s *Store, k model) { restart(t, s, k, "far", far, entryOf("data")) },
		"of a tombstone": func(s *Store, k model) {
			restart(t, s, k, "far", far, entryOf("data"))
			remove(t, s, k, "far")
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, k := newPath(t), model{}
			s := open(t, path, nil)
			prepare(s, k)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for last := uint64(far); last < far+3; last++ {
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, flipped(content, pageBytes+pageHeaderBytes+50), 0o600); err != nil {
					t.Fatal(err)
				}
				s := open(t, path, nil)
				if s.rolledBack != last+1 {
					t.Fatalf("the epoch of the rollback is %d; want %d", s.rolledBack, last+1)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

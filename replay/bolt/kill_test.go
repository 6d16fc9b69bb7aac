package bolt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/safe-go/safe/replay"
)

const (
	// childVariable has the path of the file, in the process that the test kills.
	childVariable = "SAFE_BOLT_CHILD"
	// killsVariable is how often a process is killed, if not as often as usual.
	killsVariable = "SAFE_BOLT_KILLS"

	usualKills   = 15
	childWriters = 6
)

// childEntry is what is appended at a position.
func childEntry(id string, at replay.Cursor) replay.Entry {
	name := fmt.Sprintf("%s at %s", id, at)
	return replay.Entry{Cursor: at, Key: "key of " + name, Data: []byte("data of " + name)}
}

// childSnapshot is the snapshot at a position; longer than a page now and then.
func childSnapshot(id string, at replay.Cursor) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "snapshot of %s at %s, ", id, at), 1+int(at.Revision%7)*40)
}

// appendUntilKilled appends to a file, and prints what is acknowledged.
func appendUntilKilled(path string) {
	s, err := Open(path, nil)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	var work sync.WaitGroup
	for i := range childWriters {
		work.Go(func() {
			if err := childAppends(s, fmt.Sprint("id-", i)); err != nil {
				fmt.Println("error:", err)
			}
		})
	}
	work.Wait()
}

func childAppends(s *Store, id string) error {
	ctx := context.Background()
	var batch replay.Batch
	at := replay.Cursor{Epoch: 7}
	head, err := s.Load(ctx, id, replay.Cursor{})
	if err == nil {
		at, batch.Expect = head.Cursor, head.Cursor
	} else if !errors.Is(err, replay.ErrNotFound) {
		return err
	}
	for {
		batch.Entries = nil
		for range 1 + at.Revision%4 {
			at = at.Next()
			batch.Entries = append(batch.Entries, childEntry(id, at))
		}
		batch.Meta, batch.Snapshot = []byte(at.String()), nil
		if at.Revision%3 == 1 || batch.Starts() {
			batch.Snapshot = childSnapshot(id, at)
		}
		if err := s.Append(ctx, id, batch); err != nil {
			return err
		}
		if _, err := fmt.Printf("%s %d\n", id, at.Revision); err != nil {
			return err
		}
		batch.Expect = at
	}
}

func TestKill9(t *testing.T) {
	kills := usualKills
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", killsVariable, err)
		}
	}
	random := seeded(testSeed(t))
	path, total := newPath(t), uint64(0)
	for i := range kills {
		acknowledged := killAtRandom(t, path, random)
		if err := Check(path); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, nil)
		total = 0
		for writer := range childWriters {
			id := fmt.Sprint("id-", writer)
			n, err := childSurvived(t, s, id, acknowledged[id])
			if err != nil {
				t.Fatalf("kill %d, %q, which was acknowledged up to %d: %v", i, id, acknowledged[id], err)
			}
			total += n
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d entries", kills, total)
}

// killAtRandom starts a process, kills it after some acknowledgements, and
// returns the newest one of each id.
func killAtRandom(t *testing.T, path string, random *rand.Rand) map[string]uint64 {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), executable)
	child.Env = append(os.Environ(), childVariable+"="+path)
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(output)
	acknowledged := make(map[string]uint64)
	for n := 1 + random.IntN(300); ; n-- {
		if n == 0 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		// What it printed before it was killed counts as well.
		line, err := lines.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
		var id string
		var revision uint64
		if _, err := fmt.Sscanf(line, "%s %d\n", &id, &revision); err != nil {
			t.Fatalf("the process to kill printed: %s", line)
		}
		acknowledged[id] = revision
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the process ended before it was killed")
	}
	return acknowledged
}

// childSurvived checks that a history is whole and not shorter than it was
// acknowledged to be, and returns its length.
func childSurvived(t *testing.T, s *Store, id string, acknowledged uint64) (uint64, error) {
	head, err := s.Load(t.Context(), id, replay.Cursor{})
	if acknowledged == 0 && errors.Is(err, replay.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if head.Cursor.Revision < acknowledged || string(head.Meta) != head.Cursor.String() {
		return 0, fmt.Errorf("%w: head %s, meta %q", errWrong, head.Cursor, head.Meta)
	}
	if snapshotAt := (replay.Cursor{Epoch: 7, Revision: head.SnapshotRevision}); snapshotAt.Revision > 0 && string(head.Snapshot) != string(childSnapshot(id, snapshotAt)) {
		return 0, fmt.Errorf("%w: snapshot %.40q at %s", errWrong, head.Snapshot, snapshotAt)
	}
	want, keys := make([]replay.Entry, head.Cursor.Revision), make([]string, head.Cursor.Revision)
	for i := range want {
		want[i] = childEntry(id, replay.Cursor{Epoch: 7, Revision: uint64(i) + 1})
		keys[i] = want[i].Key
	}
	entries, err := s.Read(t.Context(), id, replay.Cursor{Epoch: 7}, len(want)+1)
	if err != nil {
		return 0, err
	}
	found, err := s.Find(t.Context(), id, keys)
	if err != nil {
		return 0, err
	}
	return head.Cursor.Revision, errors.Join(sameEntries(entries, want), sameEntries(found, want))
}

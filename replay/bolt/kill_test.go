package bolt

import (
	"bufio"
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
	// victimVariable has the path of the file, in a process that is to be killed.
	victimVariable = "SAFE_BOLT_VICTIM"
	// killsVariable is how often a process is killed, if not as often as usual.
	killsVariable = "SAFE_BOLT_KILLS"

	usualKills    = 15
	victimWriters = 6
)

// victimEntry is what is appended at a position.
func victimEntry(id string, at replay.Cursor) replay.Entry {
	name := fmt.Sprintf("%s at %s", id, at)
	e := replay.Entry{Cursor: at, Key: "key of " + name, Data: []byte("data of " + name)}
	if at.Revision%3 == 1 {
		e.State = []byte("state of " + name)
	}
	return e
}

// appendUntilKilled appends to a file, and prints what is acknowledged.
func appendUntilKilled(path string) {
	s, err := Open(path, nil)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	var work sync.WaitGroup
	for i := range victimWriters {
		work.Go(func() {
			if err := victimAppends(s, fmt.Sprint("id-", i)); err != nil {
				fmt.Println("error:", err)
			}
		})
	}
	work.Wait()
}

func victimAppends(s *Store, id string) error {
	ctx := context.Background()
	var batch replay.Batch
	at := replay.Cursor{Epoch: 7}
	head, err := s.Load(ctx, id)
	if err == nil {
		at, batch.Expect = head.Cursor, head.Cursor
	} else if !errors.Is(err, replay.ErrNotFound) {
		return err
	}
	for {
		batch.Entries = nil
		for range 1 + at.Revision%4 {
			at = at.Next()
			batch.Entries = append(batch.Entries, victimEntry(id, at))
		}
		batch.Meta = []byte(at.String())
		if err := s.Append(ctx, id, batch); err != nil {
			return err
		}
		if _, err := fmt.Printf("%s %d\n", id, at.Revision); err != nil {
			return err
		}
		batch.Expect = at
	}
}

func TestKilledProcessesLoseNothingThatWasAcknowledged(t *testing.T) {
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
		s := open(t, path, nil)
		total = 0
		for writer := range victimWriters {
			id := fmt.Sprint("id-", writer)
			n, err := victimSurvived(t, s, id, acknowledged[id])
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
	victim := exec.CommandContext(t.Context(), executable)
	victim.Env = append(os.Environ(), victimVariable+"="+path)
	output, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(output)
	acknowledged := make(map[string]uint64)
	for n := 1 + random.IntN(300); ; n-- {
		if n == 0 {
			if err := victim.Process.Kill(); err != nil {
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
			t.Fatalf("the process that is to be killed says: %s", line)
		}
		acknowledged[id] = revision
	}
	if err := victim.Wait(); err == nil {
		t.Fatal("the process ended before it was killed")
	}
	return acknowledged
}

// victimSurvived checks that a history is whole and not shorter than it was
// acknowledged to be, and returns its length.
func victimSurvived(t *testing.T, s *Store, id string, acknowledged uint64) (uint64, error) {
	head, err := s.Load(t.Context(), id)
	if acknowledged == 0 && errors.Is(err, replay.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if head.Cursor.Revision < acknowledged || string(head.Meta) != head.Cursor.String() {
		return 0, fmt.Errorf("%w: head %s, meta %q", errWrong, head.Cursor, head.Meta)
	}
	want, keys := make([]replay.Entry, head.Cursor.Revision), make([]string, head.Cursor.Revision)
	for i := range want {
		want[i] = victimEntry(id, replay.Cursor{Epoch: 7, Revision: uint64(i) + 1})
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

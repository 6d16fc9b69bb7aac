package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// log is what a store has told its logger.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// relaxed opens a store that syncs when it is closed, at the latest.
func relaxed(t *testing.T, path string, interval time.Duration) (*Store, *log) {
	t.Helper()
	l := &log{}
	return open(t, path, &Options{SyncInterval: interval, Logger: slog.New(slog.NewTextHandler(l, nil))}), l
}

func TestWhatIsNotSyncedYetIsSeenByEverybody(t *testing.T) {
	path, k := newPath(t), known{}
	s, l := relaxed(t, path, time.Hour)
	before, _ := s.gate.newest()
	epoch := uint64(100)
	for range 5 {
		k.fill(t, s, seeded(epoch), &epoch, 40)
		mustHold(t, s, k)
	}
	if now, _ := s.gate.newest(); now != before {
		t.Errorf("%d commits within the interval; want none", now-before)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, open(t, path, nil), k)
	if l.String() != "" {
		t.Errorf("the logger was told %s", l)
	}
}

func TestTheIntervalIsKept(t *testing.T) {
	path, k := newPath(t), known{}
	s, _ := relaxed(t, path, 20*time.Millisecond)
	for i := range 3 {
		before, _ := s.gate.newest()
		mustAppend(t, s, k, "id", k.next("id", entryOf("data")))
		await(t, fmt.Sprint("commit ", i), func() bool {
			now, _ := s.gate.newest()
			return now == before+1
		})
	}
	// What is on the disk is there without the store being closed.
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := newPath(t)
	if err := os.WriteFile(copied, content, 0o600); err != nil {
		t.Fatal(err)
	}
	mustHold(t, open(t, copied, nil), k)
}

func TestACutWithinTheIntervalLosesTheEndOnly(t *testing.T) {
	path, k := newPath(t), known{}
	s, _ := relaxed(t, path, time.Hour)
	epoch := uint64(100)
	k.fill(t, s, seeded(1), &epoch, 100)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	later := known{}
	for id, story := range k {
		later[id] = story.clone()
	}
	mustAppend(t, s, later, "id 1", later.next("id 1", entryOf("lost")))
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
		t.Fatalf("the file is written to before the interval is over (%v)", err)
	}
	cut := newPath(t)
	if err := os.WriteFile(cut, content, 0o600); err != nil {
		t.Fatal(err)
	}
	mustHold(t, open(t, cut, nil), k)
	mustHold(t, s, later)
}

func TestALostSessionIsToldOfAndTheFileIsTheTruth(t *testing.T) {
	s, l := relaxed(t, newPath(t), time.Hour)
	k := known{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("kept")))
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	faults := failData(s)
	faults.set(syscall.ENOSPC)
	for range 3 {
		lost := known{"id": k["id"].clone()}
		if !s.session.careful {
			mustAppend(t, s, lost, "id", lost.next("id", entryOf("acknowledged, but lost")))
			if err := s.flush(); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("flush: %v; want ENOSPC", err)
			}
		}
		mustHold(t, s, k)
		// From now on nothing is acknowledged that is not committed.
		if err := s.Append(t.Context(), "id", k.next("id", entryOf("refused"))); !errors.Is(err, replay.ErrUnavailable) {
			t.Fatalf("Append after a failed commit: %v; want ErrUnavailable", err)
		}
		mustHold(t, s, k)
	}
	if told := l.String(); strings.Count(told, "acknowledged batches were lost") != 1 || !strings.Contains(told, "batches=1") {
		t.Errorf("the logger was told %q; want one message on one lost batch", told)
	}
	faults.set(nil)
	before, _ := s.gate.newest()
	mustAppend(t, s, k, "id", k.next("id", entryOf("committed at once")))
	if now, _ := s.gate.newest(); now != before+1 {
		t.Error("the first batch after a failure was acknowledged without a commit")
	}
	mustAppend(t, s, k, "id", k.next("id", entryOf("acknowledged")))
	if now, _ := s.gate.newest(); now != before+1 {
		t.Error("the second batch after a failure was committed at once")
	}
	mustHold(t, s, k)
}

func TestCloseSaysThatSomethingWasLost(t *testing.T) {
	path, k := newPath(t), known{}
	l := &log{}
	s, err := Open(path, &Options{SyncInterval: time.Hour, Logger: slog.New(slog.NewTextHandler(l, nil))})
	if err != nil {
		t.Fatal(err)
	}
	failData(s).set(syscall.EIO)
	mustAppend(t, s, k, "id", k.next("id", entryOf("lost")))
	if err := s.Close(); !errors.Is(err, syscall.EIO) || !errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Close: %v; want ErrUnavailable and EIO", err)
	}
	mustHold(t, open(t, path, nil), known{})
}

func TestASessionIsBounded(t *testing.T) {
	s, _ := relaxed(t, newPath(t), time.Hour)
	k := known{}
	before, _ := s.gate.newest()
	large := make([]byte, 5<<20)
	for range 1 + maxSessionBytes/len(large) {
		mustAppend(t, s, k, "id", k.next("id", replay.Entry{Data: large}))
	}
	if now, _ := s.gate.newest(); now != before+1 {
		t.Errorf("%d commits; want 1 when the session was full", now-before)
	}
	mustHold(t, s, k)
}

func TestAPanicInASessionLosesTheSession(t *testing.T) {
	s, l := relaxed(t, newPath(t), time.Hour)
	k := known{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("kept")))
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	lost := known{"id": k["id"].clone()}
	mustAppend(t, s, lost, "id", lost.next("id", entryOf("lost")))
	hook(s, func(writeAt, []byte, int64) (int, error) { panic("page 7 already freed") })
	if err := s.flush(); !errors.Is(err, ErrDamaged) {
		t.Errorf("flush: %v; want ErrDamaged", err)
	}
	mustHold(t, s, k)
	mustAppend(t, s, k, "id", k.next("id", entryOf("after")))
	mustHold(t, s, k)
	if told := l.String(); !strings.Contains(told, "were lost") || !strings.Contains(told, "opened anew") {
		t.Errorf("the logger was told %q", told)
	}
}

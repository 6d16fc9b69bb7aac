package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// sink collects checkpoints, and fails while err is set.
type sink struct {
	mu   sync.Mutex
	all  []audit.Checkpoint
	err  error
	hang bool
}

func (s *sink) take(ctx context.Context, c audit.Checkpoint) error {
	s.mu.Lock()
	hang, err := s.hang, s.err
	if !hang && err == nil {
		s.all = append(s.all, c)
	}
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (s *sink) set(err error, hang bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.hang = err, hang
}

// taken returns what came since it was called last, as "id revision", sorted.
func (s *sink) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := []string{}
	for _, c := range s.all {
		got = append(got, fmt.Sprintf("%s %d", c.ShareDataID, c.Cursor.Revision))
	}
	s.all = nil
	slices.Sort(got)
	return got
}

// checkpointing runs a checkpointer within the bubble, until the test ends or stop is
// called.
func checkpointing(t *testing.T, manager *sharedata.Manager, o audit.CheckpointerOptions) (stop func()) {
	t.Helper()
	o.Signer = newSigner(t, ed25519Key)
	c, err := audit.NewCheckpointer(manager, &o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	synctest.Wait()
	return stop
}

// wantTaken waits for the next round and compares what the sink got.
func wantTaken(t *testing.T, s *sink, wait time.Duration, want ...string) {
	t.Helper()
	time.Sleep(wait)
	synctest.Wait()
	if got := s.taken(); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCheckpointer_SkipsUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, nil)
		for _, id := range []string{"a", "b", "c"} {
			create(t, manager, id)
		}
		propose(t, manager, "b", 1)
		var s sink
		stop := checkpointing(t, manager, audit.CheckpointerOptions{Sink: s.take})
		wantTaken(t, &s, 0, "a 1", "b 2", "c 1") // what exists
		wantTaken(t, &s, time.Hour)              // nothing changed
		propose(t, manager, "a", 1)
		propose(t, manager, "a", 1)
		create(t, manager, "d")
		wantTaken(t, &s, 59*time.Second)
		wantTaken(t, &s, time.Second, "a 3", "d 1")
		if err := manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		wantTaken(t, &s, time.Minute, "c 2")
		propose(t, manager, "b", 1)
		stop()
		wantTaken(t, &s, 0, "b 3") // the last round
	})
}

func TestCheckpointer_Verified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, nil)
		create(t, manager, "n")
		var s sink
		checkpointing(t, manager, audit.CheckpointerOptions{Sink: s.take})
		for range 3 {
			propose(t, manager, "n", 1)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		options := audit.Options{Keys: publicKeys(t, newSigner(t, ed25519Key))}
		for _, c := range s.all {
			options.Checkpoints = append(options.Checkpoints, c.JWS)
		}
		var out bytes.Buffer
		if _, err := audit.Export(t.Context(), &out, manager, "n", nil); err != nil {
			t.Fatal(err)
		}
		report, err := audit.Verify(&out, &options)
		if err != nil || report.CheckpointsMatched != 4 || report.Newest.Cursor != report.Chain.Last {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

func TestCheckpointer_SinkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, nil)
		create(t, manager, "a")
		create(t, manager, "b")
		s := sink{err: errors.New("unplugged")}
		var log bytes.Buffer
		checkpointing(t, manager, audit.CheckpointerOptions{Sink: s.take, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		propose(t, manager, "a", 1)
		wantTaken(t, &s, time.Minute)
		s.set(nil, true) // each call ends after 10 s
		wantTaken(t, &s, time.Minute)
		s.set(nil, false)
		wantTaken(t, &s, time.Minute, "a 2", "b 1")
		wantTaken(t, &s, time.Minute)
		if text := log.String(); !strings.Contains(text, "count=2") || !strings.Contains(text, "unplugged") || strings.Count(text, "\n") > 3 {
			t.Errorf("logged %s", text)
		}
	})
}

// A sink that hangs does not keep Run from ending.
func TestCheckpointer_StopWhileSinkHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, nil)
		for i := range 100 {
			create(t, manager, fmt.Sprint(i))
		}
		s := sink{hang: true}
		stop := checkpointing(t, manager, audit.CheckpointerOptions{Sink: s.take})
		start := time.Now()
		stop()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it ended after %s", took)
		}
	})
}

func TestCheckpointer_ManyChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, nil)
		var s sink
		checkpointing(t, manager, audit.CheckpointerOptions{Sink: s.take, MaxPending: 2, SkipExisting: true})
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			create(t, manager, id)
		}
		wantTaken(t, &s, time.Minute, "a 1", "b 1", "c 1", "d 1", "e 1")
		s.set(errors.New("unplugged"), false)
		for _, id := range []string{"a", "b", "c", "d"} {
			propose(t, manager, id, 1)
		}
		wantTaken(t, &s, time.Minute)
		s.set(nil, false)
		wantTaken(t, &s, time.Minute, "a 2", "b 2", "c 2", "d 2", "e 1")
	})
}

func TestCheckpointer_SomeIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, nil)
		create(t, manager, "a")
		create(t, manager, "b")
		var s sink
		checkpointing(t, manager, audit.CheckpointerOptions{Sink: s.take, IDs: []string{"b", "c"}, Interval: time.Second})
		wantTaken(t, &s, 0, "b 1")
		create(t, manager, "c")
		propose(t, manager, "a", 1)
		wantTaken(t, &s, time.Second, "c 1")
	})
}

func TestCheckpointer_SkipExisting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, nil)
		create(t, manager, "a")
		var s sink
		checkpointing(t, manager, audit.CheckpointerOptions{Sink: s.take, SkipExisting: true})
		wantTaken(t, &s, time.Hour)
	})
}

func TestNewCheckpointer_Refused(t *testing.T) {
	manager := newManager(t, nil)
	var s sink
	signer := newSigner(t, ed25519Key)
	for name, o := range map[string]*audit.CheckpointerOptions{
		"nil": nil, "no sink": {Signer: signer}, "no signer": {Sink: s.take},
		"interval": {Signer: signer, Sink: s.take, Interval: -1}, "pending": {Signer: signer, Sink: s.take, MaxPending: -1},
	} {
		if _, err := audit.NewCheckpointer(manager, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

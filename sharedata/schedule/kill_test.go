package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/child"
	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/sharedata"
)

// redisVariable is set where this program is to be a process that runs a schedule.
const redisVariable = "SCHEDULE_TEST_REDIS"

// openProcess returns a manager with the ShareData "list", and a scheduler.
func openProcess(store *redis.Store) (*sharedata.Manager, *Scheduler, error) {
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store})
	if err != nil {
		return nil, nil, err
	}
	if _, err := manager.Ensure(context.Background(), "list", list{}, add); err != nil {
		return nil, nil, err
	}
	scheduler, err := New(manager, &Options{TakeoverAfter: 500 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	return manager, scheduler, err
}

// runProcess runs a schedule until this process is killed.
func runProcess(address string) {
	store, err := redis.New(goredis.NewClient(redistest.ClientOptions(address)), nil)
	if err == nil {
		var scheduler *Scheduler
		if _, scheduler, err = openProcess(store); err == nil {
			err = scheduler.Run(context.Background())
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Two processes on one Redis server are killed again and again around the times of
// proposals: each is made once, and none before its time.
func TestKill9_TwoProcesses(t *testing.T) {
	server := redistest.Start(t, nil)
	store, err := redis.New(server.Client(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	manager, scheduler, err := openProcess(store)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	start := func() *exec.Cmd {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), redisVariable+"="+server.Addr())
		c.Stderr, c.SysProcAttr = os.Stderr, child.Attributes()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	kill := func(c *exec.Cmd) {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	processes := []*exec.Cmd{start(), start()}
	defer func() {
		for _, c := range processes {
			kill(c)
		}
	}()

	const kills, each = 12, 40
	want := make(map[string]time.Time)
	for i := range kills {
		var all []Proposal
		for j := range each {
			p := proposal(fmt.Sprint(i, "-", j), time.Duration(rand.IntN(400))*time.Millisecond)
			want[p.ID] = p.At
			all = append(all, p)
		}
		if _, err := scheduler.ScheduleAll(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(rand.IntN(400)) * time.Millisecond)
		kill(processes[i%2])
		processes[i%2] = start()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	awaitEmpty(ctx, t, manager, scheduler)

	f := &fixture{T: t, manager: manager, scheduler: scheduler}
	entries := f.transactions("list")
	for _, e := range entries {
		at, wanted := want[e.IdempotencyKey]
		if delete(want, e.IdempotencyKey); !wanted || e.Time.Before(at) {
			t.Errorf("%q was made again, or at %v, before its time %v", e.IdempotencyKey, e.Time, at)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d were not made", len(want))
	}
	t.Logf("%d kills, %d proposals", kills, len(entries))
}

// awaitEmpty waits until nothing is scheduled.
func awaitEmpty(ctx context.Context, t *testing.T, manager *sharedata.Manager, s *Scheduler) {
	t.Helper()
	changed := make(chan struct{}, 1)
	for part := range parts {
		if _, err := manager.Ensure(ctx, s.partID(part), struct{}{}); err != nil {
			t.Fatal(err)
		}
		_, stop, err := manager.Observe(ctx, s.partID(part), sharedata.ObserverFunc(func([]sharedata.Event) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	for {
		waiting, err := s.List(ctx, nil)
		switch {
		case err != nil:
			t.Fatal(err)
		case len(waiting) == 0:
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d still wait, such as %+v", len(waiting), waiting[0])
		}
	}
}

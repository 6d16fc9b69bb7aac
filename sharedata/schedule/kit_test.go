package schedule

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// list is a state that tells in which order it was changed.
type list struct {
	Names []string `json:"names"`
}

var add = sharedata.NewFunction("add", func(_ context.Context, l list, name string) (list, error) {
	if name == "" {
		return l, sharedata.RejectWith("no-name", "a name is needed", nil)
	}
	l.Names = append(l.Names, name)
	return l, nil
})

// fixture is one process: a manager with the ShareData "list", and a scheduler.
type fixture struct {
	*testing.T
	manager   *sharedata.Manager
	scheduler *Scheduler
	cancel    func() // has Run end
	stop      func() // ends Run
}

// newFixture starts a process on a store; nil is a new one. Run is not called.
func newFixture(t *testing.T, store replay.Store, options *Options) *fixture {
	t.Helper()
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store})
	if err == nil {
		_, err = manager.Ensure(t.Context(), "list", list{}, add)
	}
	if err != nil {
		t.Fatal(err)
	}
	scheduler, err := New(manager, options)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, manager: manager, scheduler: scheduler, stop: func() {}}
	t.Cleanup(func() {
		f.stop()
		manager.Close()
	})
	return f
}

func newMemory(t *testing.T) *replay.Memory {
	t.Helper()
	store, err := replay.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// run calls Run until stop is called.
func (f *fixture) run() {
	f.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	f.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.Errorf("Run: %v", err)
		}
		f.stop = func() {}
	}
	f.cancel = cancel
	go func() { done <- f.scheduler.Run(ctx) }()
	synctest.Wait()
}

// proposal is one that adds a name to the list after some time.
func proposal(name string, after time.Duration) Proposal {
	return Proposal{ID: name, At: time.Now().Add(after), ShareDataID: "list", FunctionID: "add", Data: name}
}

func (f *fixture) schedule(p Proposal) {
	f.Helper()
	if _, err := f.scheduler.Schedule(f.Context(), p); err != nil {
		f.Fatal(err)
	}
}

// wantList checks which names were added, in which order.
func (f *fixture) wantList(want ...string) {
	f.Helper()
	snapshot, err := f.manager.Refresh(f.Context(), "list")
	if err != nil {
		f.Fatal(err)
	}
	got, err := sharedata.Decode[list](snapshot.State)
	if err != nil || !slices.Equal(got.Names, want) {
		f.Errorf("the list has %v, want %v; %v", got.Names, want, err)
	}
}

// wantWaiting checks which proposals wait.
func (f *fixture) wantWaiting(want ...string) {
	f.Helper()
	waiting, err := f.scheduler.List(f.Context(), nil)
	if err != nil {
		f.Fatal(err)
	}
	var got []string
	for _, p := range waiting {
		got = append(got, p.ID)
	}
	if !slices.Equal(got, want) {
		f.Errorf("%v wait, want %v", got, want)
	}
}

// transactions returns the entries of a ShareData.
func (f *fixture) transactions(id string) (all []sharedata.Entry) {
	f.Helper()
	for e, err := range f.manager.History(f.Context(), id, replay.Cursor{}) {
		if err != nil {
			f.Fatal(err)
		}
		if e.Type == sharedata.EntryTransaction {
			all = append(all, e)
		}
	}
	return all
}

// story returns what the history of a proposal's part says: function, verdict and who.
func (f *fixture) story(id string) (lines []string) {
	f.Helper()
	for _, e := range f.transactions(f.scheduler.partID(partOf(id))) {
		line := e.FunctionID
		if e.Caller != nil {
			line += " by " + e.Caller.Subject
		}
		if !e.Accepted {
			line += ": " + e.Code
		}
		lines = append(lines, line)
	}
	return lines
}

func (f *fixture) wantStory(id string, want ...string) {
	f.Helper()
	if got := f.story(id); !slices.Equal(got, want) {
		f.Errorf("the history has %q, want %q", got, want)
	}
}

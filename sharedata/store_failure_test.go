package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

var errDisk = errors.New("disk on fire")

// wantStoreError checks that the error says which call of the store failed and
// why.
func wantStoreError(t *testing.T, err error, operation, id string, cause error) {
	t.Helper()
	var failed *sharedata.StoreError
	if !errors.As(err, &failed) || !errors.Is(err, sharedata.ErrStore) || !errors.Is(err, cause) {
		t.Errorf("got %v, want a StoreError with %v", err, cause)
		return
	}
	if failed.Operation != operation || failed.ShareDataID != id {
		t.Errorf("got %q of %q, want %q of %q", failed.Operation, failed.ShareDataID, operation, id)
	}
}

// failingAppend is a store whose appends fail before they take effect while fail is set,
// and after it while lost is set. Its loads fail while cut is set.
type failingAppend struct {
	store
	fail, lost, cut bool
}

func newFailingAppend(t *testing.T) *failingAppend {
	s := &failingAppend{store: store{Store: newMemory(t, nil)}}
	s.append = func(ctx context.Context, id string, batch replay.Batch) error {
		if s.fail {
			return errDisk
		}
		err := s.Store.Append(ctx, id, batch)
		if err == nil && s.lost {
			return errDisk
		}
		return err
	}
	s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
		if s.cut {
			return replay.Head{}, errDisk
		}
		return s.Store.Load(ctx, id, have)
	}
	return s
}

// A failed append leaves neither an entry nor a state.
func TestStore_AppendFails(t *testing.T) {
	var log strings.Builder
	s := newFailingAppend(t)
	m := newCounter(t, &sharedata.Options{Store: s, Logger: slog.New(slog.NewTextHandler(&log, nil))}, 0)
	var seen recorder
	snapshot, _ := mustObserve(t, m, "counter", &seen)
	mustAdd(t, m, "counter", 1)
	s.fail = true
	for range 3 {
		_, err := m.Propose(t.Context(), addition("counter", 100, "k"))
		wantStoreError(t, err, "append", "counter", errDisk)
		_, err = m.Update(t.Context(), "counter", Counter{100})
		wantStoreError(t, err, "append", "counter", errDisk)
		wantStoreError(t, m.Remove(t.Context(), "counter"), "append", "counter", errDisk)
		_, err = m.Create(t.Context(), "other", Counter{}, add)
		wantStoreError(t, err, "append", "other", errDisk)
	}
	wantState(t, m, "counter", `{"value":1}`)
	if _, err := m.Get(t.Context(), "other"); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(log.String(), "disk on fire") {
		t.Errorf("the error is not in the log: %s", log.String())
	}
	s.fail = false
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate || v.Cursor.Revision != 3 {
		t.Errorf("%+v, %v", v, err)
	}
	createCounter(t, m, "other", 0)
	mustAdd(t, m, "other", 1)
	wantContinuous(t, snapshot, seen.all())
	wantHistory(t, m, "counter", "1 created", `2 add {"by":1} accepted`, `3 add {"by":1} accepted`)
}

// An outcome that rests on an entry of the same batch is not handed out if the entry
// was not stored.
func TestStore_AppendFailsForBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		s := newFailingAppend(t)
		m := newManager(t, &sharedata.Options{Store: s})
		s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			if len(g.arrived) == 0 {
				g.pass() // so that the other calls wait together
			}
			return s.Store.Load(ctx, id, have)
		}
		s.fail = true
		type result struct {
			name string
			err  error
		}
		done := make(chan result, 10)
		submit := func(name string, call func() error) {
			go func() { done <- result{name, call()} }()
			synctest.Wait()
		}
		submit("first get", func() error { _, err := m.Get(t.Context(), "counter"); return err })
		submit("create", func() error { _, err := m.Create(t.Context(), "counter", Counter{1}, add); return err })
		submit("create again", func() error { _, err := m.Create(t.Context(), "counter", Counter{2}, add); return err })
		submit("get", func() error {
			snapshot, err := m.Get(t.Context(), "counter")
			if err == nil {
				t.Errorf("a get returned %s, which was not stored", snapshot.State)
			}
			return err
		})
		close(g.open)
		results := make(map[string]error)
		for range 4 {
			r := <-done
			results[r.name] = r.err
		}
		if err := results["first get"]; !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("the get before: %v", err)
		}
		for _, name := range []string{"create", "create again"} {
			if err := results[name]; !errors.Is(err, errDisk) || errors.Is(err, sharedata.ErrExists) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := m.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestStore_LoadFails(t *testing.T) {
	s := &store{Store: newMemory(t, nil)}
	newCounter(t, &sharedata.Options{Store: s}, 5)
	m := newManager(t, &sharedata.Options{Store: s})
	s.load = func(context.Context, string, replay.Cursor) (replay.Head, error) { return replay.Head{}, errDisk }
	_, errGet := m.Get(t.Context(), "counter")
	_, errCreate := m.Create(t.Context(), "counter", 0)
	_, errPropose := m.Propose(t.Context(), addition("counter", 1, ""))
	_, errUpdate := m.Update(t.Context(), "counter", 0)
	_, _, errObserve := m.Observe(t.Context(), "counter", &recorder{})
	for _, err := range []error{errGet, errCreate, errPropose, errUpdate, errObserve, m.Remove(t.Context(), "counter")} {
		wantStoreError(t, err, "load", "counter", errDisk)
	}
	_, err := revisions(t.Context(), m, "counter", replay.Cursor{})
	wantStoreError(t, err, "read", "counter", errDisk)
	s.load = nil
	wantState(t, m, "counter", `{"value":5}`)
}

func TestStore_FindFails(t *testing.T) {
	s := &store{Store: newMemory(t, nil)}
	m := newCounter(t, &sharedata.Options{Store: s}, 0)
	s.find = func(context.Context, string, []string) ([]replay.Entry, error) { return nil, errDisk }
	failing := sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "k"}
	_, err := m.Propose(t.Context(), failing)
	wantStoreError(t, err, "find", "counter", errDisk) // it may have had a verdict before
	failing.IdempotencyKey = ""
	if _, err := m.Propose(t.Context(), failing); !errors.Is(err, errBroken) {
		t.Errorf("without a key the store need not be asked: %v", err)
	}
	for _, again := range []bool{false, true} { // the append itself finds the key
		if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate != again {
			t.Errorf("%+v, %v", v, err)
		}
	}
	wantState(t, m, "counter", `{"value":1}`)
}

func TestStore_ReadFails(t *testing.T) {
	s := newFailingAppend(t)
	m := newCounter(t, &sharedata.Options{Store: s}, 0)
	var seen recorder
	snapshot, _ := mustObserve(t, m, "counter", &seen)
	s.read = func(context.Context, string, replay.Cursor, int) ([]replay.Entry, error) { return nil, errDisk }
	_, err := revisions(t.Context(), m, "counter", replay.Cursor{})
	wantStoreError(t, err, "read", "counter", errDisk)
	_, err = m.VerifyHistory(t.Context(), "counter")
	wantStoreError(t, err, "read", "counter", errDisk)
	mustAdd(t, m, "counter", 1) // which reads nothing

	s.lost = true
	_, err = m.Propose(t.Context(), addition("counter", 1, ""))
	wantStoreError(t, err, "append", "counter", errDisk)
	s.lost = false
	for range 2 { // while the append is in doubt
		_, err = m.Propose(t.Context(), addition("counter", 1, ""))
		wantStoreError(t, err, "read", "counter", errDisk)
	}
	cannotRead := s.read
	s.read = nil
	mustAdd(t, m, "counter", 1)
	s.read = cannotRead
	mustAdd(t, m, "counter", 1) // the doubt is resolved
	wantContinuous(t, snapshot, seen.all())
	wantState(t, m, "counter", `{"value":4}`)
}

func TestStore_ListFails(t *testing.T) {
	s := &store{Store: newMemory(t, nil), ids: func(context.Context) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			_ = yield("a", nil) && yield("", errDisk)
		}
	}}
	ids, err := newManager(t, &sharedata.Options{Store: s}).List(t.Context(), nil)
	wantStoreError(t, err, "list", "", errDisk)
	if ids != nil {
		t.Errorf("it lists %q", ids)
	}
}

// A call that hangs fails after StoreTimeout, however long its caller would wait.
func TestStore_Timeout(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, test := range []struct {
		operation string
		id        string
		prepare   func(s *store)
		call      func(m *sharedata.Manager) error
	}{
		{"load", "new", func(s *store) {
			s.load = func(ctx context.Context, _ string, have replay.Cursor) (replay.Head, error) {
				return replay.Head{}, hang(ctx)
			}
		}, func(m *sharedata.Manager) error {
			_, err := m.Get(context.Background(), "new")
			return err
		}},
		{"append", "counter", func(s *store) {
			s.append = func(ctx context.Context, _ string, _ replay.Batch) error { return hang(ctx) }
		}, func(m *sharedata.Manager) error {
			_, err := m.Propose(context.Background(), addition("counter", 1, "k"))
			return err
		}},
		{"find", "counter", func(s *store) {
			s.find = func(ctx context.Context, _ string, _ []string) ([]replay.Entry, error) { return nil, hang(ctx) }
		}, func(m *sharedata.Manager) error {
			_, err := m.Propose(context.Background(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "k"})
			return err
		}},
		{"read", "counter", func(s *store) {
			s.read = func(ctx context.Context, _ string, _ replay.Cursor, _ int) ([]replay.Entry, error) {
				return nil, hang(ctx)
			}
		}, func(m *sharedata.Manager) error {
			_, err := revisions(context.Background(), m, "counter", replay.Cursor{})
			return err
		}},
		{"list", "", func(s *store) {
			s.ids = func(ctx context.Context) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) { yield("", hang(ctx)) }
			}
		}, func(m *sharedata.Manager) error {
			_, err := m.List(context.Background(), nil)
			return err
		}},
	} {
		for option, want := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Second: time.Second} {
			t.Run(fmt.Sprint(test.operation, " ", option), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &store{Store: newMemory(t, nil)}
					m := newCounter(t, &sharedata.Options{Store: s, StoreTimeout: option}, 0)
					test.prepare(s)
					begin := time.Now()
					err := test.call(m)
					wantStoreError(t, err, test.operation, test.id, context.DeadlineExceeded)
					if took := time.Since(begin); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
				})
			})
		}
	}
}

// A caller need not wait as long as the store hangs.
func TestStore_CallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{Store: newMemory(t, nil)}
		m := newCounter(t, &sharedata.Options{Store: s, StoreTimeout: time.Hour}, 0)
		s.append = func(ctx context.Context, _ string, _ replay.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}
		for _, call := range []func(ctx context.Context) error{
			func(ctx context.Context) error { _, err := m.Propose(ctx, addition("counter", 1, "")); return err },
			func(ctx context.Context) error { _, err := m.Update(ctx, "counter", 0); return err },
			func(ctx context.Context) error { _, err := m.Create(ctx, "new", 0); return err },
			func(ctx context.Context) error { return m.Remove(ctx, "counter") },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			begin := time.Now()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
			cancel()
		}
		wantState(t, m, "counter", `{"value":0}`) // needs no store
	})
}

func TestManager_Reopen(t *testing.T) {
	memory := newMemory(t, &replay.MemoryOptions{MaxEntries: 2})
	var last sharedata.Snapshot
	for i := range 5 {
		m := newManager(t, &sharedata.Options{Store: memory})
		if _, err := m.Ensure(t.Context(), "counter", Counter{}, add); err != nil {
			t.Fatal(err)
		}
		if got := mustGet(t, m, "counter"); i > 0 && (got.Cursor != last.Cursor || got.LastTransaction != last.LastTransaction || string(got.State) != string(last.State)) {
			t.Errorf("it begins at %+v, the one before ended at %+v", got, last)
		}
		mustAdd(t, m, "counter", 1)
		_, _ = m.Update(t.Context(), "counter", Counter{10 * i})
		last = mustGet(t, m, "counter")
		if _, err := m.VerifyHistory(t.Context(), "counter"); err != nil {
			t.Error(err)
		}
		m.Close()
	}
}

package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// revisions reads the history after a cursor.
func revisions(ctx context.Context, m *sharedata.Manager, id string, after replay.Cursor) (got []uint64, err error) {
	for e, err := range m.History(ctx, id, after) {
		if err != nil {
			return got, err
		}
		got = append(got, e.Revision())
	}
	return got, nil
}

// wantRun checks that the numbers are first, first+1, … last.
func wantRun(t *testing.T, got []uint64, first, last uint64) {
	t.Helper()
	if uint64(len(got)) != last+1-first {
		t.Errorf("%d entries, want those from %d to %d", len(got), first, last)
		return
	}
	for i, revision := range got {
		if revision != first+uint64(i) {
			t.Errorf("entry %d is %d, want %d", i, revision, first+uint64(i))
		}
	}
}

func TestHistory_SeveralPages(t *testing.T) {
	for _, n := range []int{254, 255, 256, 511, 513} { // a page is 256 entries
		m := newCounter(t, nil, 0)
		answered := make(chan error, n)
		for range n {
			m.Submit(t.Context(), addition("counter", 1, ""), func(_ sharedata.Verdict, err error) { answered <- err })
		}
		for range n {
			if err := <-answered; err != nil {
				t.Fatal(err)
			}
		}
		head := mustGet(t, m, "counter").Cursor
		for _, after := range []uint64{0, 1, 100, uint64(n), uint64(n) + 1} {
			got, err := revisions(t.Context(), m, "counter", replay.Cursor{Epoch: head.Epoch, Revision: after})
			if err != nil {
				t.Errorf("%d entries, after %d: %v", n+1, after, err)
			}
			wantRun(t, got, after+1, uint64(n)+1)
		}
		got, err := revisions(t.Context(), m, "counter", replay.Cursor{})
		if err != nil {
			t.Error(err)
		}
		wantRun(t, got, 1, uint64(n)+1)
		if chain, err := m.VerifyHistory(t.Context(), "counter"); err != nil || chain.Last != head || chain.First.Revision != 1 {
			t.Errorf("%+v, %v", chain, err)
		}
	}
}

func TestHistory_CursorErrors(t *testing.T) {
	m := newCounter(t, &sharedata.Options{Store: newMemory(t, &replay.MemoryOptions{MaxEntries: 3})}, 0)
	for range 6 {
		mustAdd(t, m, "counter", 1)
	}
	head := mustGet(t, m, "counter").Cursor
	for _, test := range []struct {
		name  string
		after replay.Cursor
		want  error
	}{
		{"too old", replay.Cursor{Epoch: head.Epoch, Revision: 3}, replay.ErrCursorTooOld},
		{"another epoch", replay.Cursor{Epoch: head.Epoch - 1, Revision: 5}, replay.ErrUnknownEpoch},
		{"no epoch", replay.Cursor{Revision: 5}, replay.ErrUnknownEpoch},
		{"the future", head.Next(), replay.ErrFutureCursor},
		{"kept", replay.Cursor{Epoch: head.Epoch, Revision: 4}, nil},
		{"all that is kept", replay.Cursor{}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := revisions(t.Context(), m, "counter", test.after)
			var cursorError *replay.CursorError
			if !errors.Is(err, test.want) || test.want != nil && !errors.As(err, &cursorError) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if test.want != nil && len(got) != 0 {
				t.Errorf("it yields %v", got)
			}
			if test.want == nil {
				wantRun(t, got, 5, 7)
			}
		})
	}
	chain, err := m.VerifyHistory(t.Context(), "counter")
	if err != nil || chain.First.Revision != 5 || chain.Last != head {
		t.Errorf("%+v, %v", chain, err)
	}
}

func TestHistory_NothingKept(t *testing.T) {
	m := newCounter(t, &sharedata.Options{Store: newMemory(t, &replay.MemoryOptions{MaxBytes: 1})}, 0)
	mustAdd(t, m, "counter", 1)
	if got, err := revisions(t.Context(), m, "counter", replay.Cursor{}); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if chain, err := m.VerifyHistory(t.Context(), "counter"); err != nil || chain != (sharedata.Chain{}) {
		t.Errorf("%+v, %v", chain, err)
	}
	mustAdd(t, m, "counter", 1)
	wantState(t, m, "counter", `{"value":2}`)
}

func TestHistory_EarlyBreak(t *testing.T) {
	m := newCounter(t, nil, 0)
	for range 5 {
		mustAdd(t, m, "counter", 1)
	}
	var got []uint64
	for e, err := range m.History(t.Context(), "counter", replay.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e.Revision()); len(got) == 3 {
			break
		}
	}
	wantRun(t, got, 1, 3)
}

func TestHistory_ContextEnds(t *testing.T) {
	m := newCounter(t, nil, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := revisions(ctx, m, "counter", replay.Cursor{}); !errors.Is(err, context.Canceled) || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestHistory_RecreatedWhileRead(t *testing.T) {
	m := newCounter(t, nil, 0)
	answered := make(chan error, 300)
	for range 300 {
		m.Submit(t.Context(), addition("counter", 1, ""), func(_ sharedata.Verdict, err error) { answered <- err })
	}
	for range 300 {
		<-answered
	}
	read := 0
	var last error
	for _, err := range m.History(t.Context(), "counter", replay.Cursor{}) {
		if read++; read == 10 {
			if err := m.Remove(t.Context(), "counter"); err != nil {
				t.Fatal(err)
			}
			createCounter(t, m, "counter", 0)
		}
		last = err
	}
	if !errors.Is(last, replay.ErrUnknownEpoch) {
		t.Errorf("after %d entries it ended with %v", read, last)
	}
}

func TestHistory_DuringProposals(t *testing.T) {
	m := newCounter(t, nil, 0)
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			for range 100 {
				mustAdd(t, m, "counter", 1)
			}
		})
	}
	for range 20 {
		before := mustGet(t, m, "counter").Cursor
		chain, err := m.VerifyHistory(t.Context(), "counter")
		if err != nil || chain.First.Revision != 1 || chain.Last.Revision < before.Revision {
			t.Errorf("%+v, %v, it was at %s before", chain, err, before)
		}
	}
	wait.Wait()
}

// tampered is a store whose entries are changed on their way out.
func tampered(t *testing.T, change func(e *replay.Entry)) (*store, *bool) {
	on := new(bool)
	s := &store{Store: newMemory(t, nil)}
	s.read = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
		entries, err := s.Store.Read(ctx, id, after, limit)
		for i := range entries {
			if *on {
				change(&entries[i])
			}
		}
		return entries, err
	}
	return s, on
}

func TestVerifyHistory_TamperedEntry(t *testing.T) {
	rewrite := func(data []byte, change func(e *sharedata.Entry)) []byte {
		var e sharedata.Entry
		if err := e.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		change(&e)
		text, _ := e.MarshalJSON()
		return text
	}
	s, on := tampered(t, func(stored *replay.Entry) {
		if stored.Cursor.Revision == 2 {
			stored.Data = rewrite(stored.Data, func(e *sharedata.Entry) { e.Data = rawJSON(`{"by":100}`) })
		}
	})
	m := newCounter(t, &sharedata.Options{Store: s}, 0)
	mustAdd(t, m, "counter", 1)
	mustAdd(t, m, "counter", 1)
	if _, err := m.VerifyHistory(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	*on = true
	chain, err := m.VerifyHistory(t.Context(), "counter")
	var broken *sharedata.ChainError
	if !errors.As(err, &broken) || broken.Cursor.Revision != 2 || chain.Last.Revision != 1 {
		t.Errorf("%+v, %v", chain, err)
	}
}

func TestVerifyHistory_TamperedState(t *testing.T) {
	s := &store{Store: newMemory(t, nil)}
	writer := newCounter(t, &sharedata.Options{Store: s}, 0)
	mustAdd(t, writer, "counter", 1)
	s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
		head, err := s.Store.Load(ctx, id, have)
		head.Snapshot = []byte(`{"value":1000}`)
		return head, err
	}
	reader := newManager(t, &sharedata.Options{Store: s})
	chain, err := reader.VerifyHistory(t.Context(), "counter")
	var broken *sharedata.ChainError
	if !errors.As(err, &broken) || broken.Cursor.Revision != 2 || chain.Last.Revision != 2 {
		t.Errorf("%+v, %v", chain, err)
	}
}

func TestVerifyHistory_MissingEnd(t *testing.T) {
	cut := false
	s := &store{Store: newMemory(t, nil)}
	s.read = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
		entries, err := s.Store.Read(ctx, id, after, limit)
		if cut && len(entries) > 2 {
			entries = entries[:2]
		}
		return entries, err
	}
	m := newCounter(t, &sharedata.Options{Store: s}, 0)
	for range 3 {
		mustAdd(t, m, "counter", 1)
	}
	cut = true
	chain, err := m.VerifyHistory(t.Context(), "counter")
	var broken *sharedata.ChainError
	if !errors.As(err, &broken) || broken.Cursor.Revision != 3 || chain.Last.Revision != 2 {
		t.Errorf("%+v, %v", chain, err)
	}
}

// An entry that was replaced together with its hash shows at the next one; the
// last has none, so it shows by what the manager holds.
func TestVerifyHistory_ReplacedLast(t *testing.T) {
	memory := newMemory(t, nil)
	m := newCounter(t, &sharedata.Options{Store: memory}, 0)
	mustAdd(t, m, "counter", 1)
	head := mustGet(t, m, "counter").Cursor

	// Another history of the same epoch whose last entry is another one.
	other := newMemory(t, nil)
	first, err := memory.Read(t.Context(), "counter", replay.Cursor{Epoch: head.Epoch}, 1)
	if err != nil {
		t.Fatal(err)
	}
	meta := fmt.Sprintf(`{"hash":%q,"lastTransaction":"0-0"}`, wholeHistory(t, m, "counter")[0].Hash)
	if err := other.Append(t.Context(), "counter", replay.Batch{Entries: first, Snapshot: []byte(`{"value":0}`), Meta: []byte(meta)}); err != nil {
		t.Fatal(err)
	}
	forger := newManager(t, &sharedata.Options{Store: other})
	if _, err := forger.Ensure(t.Context(), "counter", nil, add); err != nil {
		t.Fatal(err)
	}
	p := addition("counter", 1, "")
	p.Caller = &sharedata.Caller{Subject: "somebody else"}
	if v, err := forger.Propose(t.Context(), p); err != nil || v.Cursor != head {
		t.Fatal(v, err)
	}

	s := &store{Store: memory, read: other.Read}
	reader := newManager(t, &sharedata.Options{Store: s})
	chain, err := reader.VerifyHistory(t.Context(), "counter")
	var broken *sharedata.ChainError
	if !errors.As(err, &broken) || broken.Cursor != head || chain.Last != head {
		t.Errorf("%+v, %v", chain, err)
	}
}

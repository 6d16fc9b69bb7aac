package replaytest

import (
	"context"
	"testing"

	"github.com/safe-go/safe/replay"
)

func reopenFaults() []fault {
	return []fault{
		{name: "is empty after reopening", harness: func(h *Harness) {
			h.Reopen = func(t testing.TB, _ replay.Store) replay.Store { return mustMemory(t, nil) }
		}, caught: []string{"a reopened store has kept everything", "what was acknowledged is there after reopening", "any sequence of operations does what the model does"}},
		{name: "forgets keys when it is reopened", harness: func(h *Harness) {
			h.Reopen = func(t testing.TB, store replay.Store) replay.Store {
				s := &faulty{Memory: copied(t, store)}
				s.onFind = func(context.Context, string, []string) ([]replay.Entry, error) { return nil, nil }
				return s
			}
		}, caught: []string{"a reopened store has kept everything"}},
		{name: "forgets removed histories when it is reopened", harness: func(h *Harness) {
			h.Reopen = func(t testing.TB, store replay.Store) replay.Store { return copied(t, store) }
		}, caught: []string{
			"a reopened store knows the epochs of removed histories",
			"a reopened store knows where a history started over",
		}},
		{name: "opens a second handle on a copy", harness: func(h *Harness) {
			h.Second = func(t testing.TB, store replay.Store) replay.Store { return copied(t, store) }
		}, caught: []string{"handles see each other's changes", "each revision is won once"}},
		{name: "closes all handles with one", harness: func(h *Harness) {
			h.Second = func(_ testing.TB, store replay.Store) replay.Store { return store }
		}, caught: []string{"handles see each other's changes"}},
		{name: "brings back what it had trimmed when it is reopened", harness: func(h *Harness) {
			h.Reopen = func(_ testing.TB, store replay.Store) replay.Store {
				m := store.(*faulty).Memory
				s := &faulty{Memory: m}
				s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
					head, err := m.Load(ctx, id)
					head.Oldest--
					return head, err
				}
				return s
			}
		}, caught: []string{"a reopened store keeps what it had not trimmed"}},
		{name: "loses the newest entry when it is reopened", harness: func(h *Harness) {
			h.Reopen = func(t testing.TB, store replay.Store) replay.Store {
				from, to := copied(t, store), mustMemory(t, nil)
				for id := range from.IDs(t.Context()) {
					entries := keptEntries(t.Context(), from, id)
					if err := to.Append(t.Context(), id, replay.Batch{Entries: entries[:len(entries)-1]}); err != nil {
						t.Fatal(err)
					}
				}
				return to
			}
		}, caught: []string{"what was acknowledged is there after reopening", "a reopened store has kept everything"}},
	}
}

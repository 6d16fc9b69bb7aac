package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestList_Sorted(t *testing.T) {
	m := newManager(t, nil)
	if ids, err := m.List(t.Context(), nil); err != nil || len(ids) != 0 {
		t.Errorf("empty: %q, %v", ids, err)
	}
	for _, id := range []string{"b", "c", "a"} {
		createCounter(t, m, id, 0)
	}
	if err := m.Remove(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if ids, err := m.List(t.Context(), nil); err != nil || !slices.Equal(ids, []string{"a", "c"}) {
		t.Errorf("%q, %v", ids, err)
	}
}

// shuffled is a store that lists its ids in a random order.
func shuffled(s replay.Store) *store {
	return &store{Store: s, ids: func(ctx context.Context) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			var ids []string
			for id := range s.IDs(ctx) {
				ids = append(ids, id)
			}
			rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			for _, id := range ids {
				if !yield(id, nil) {
					return
				}
			}
		}
	}}
}

func TestList_Pages(t *testing.T) {
	kinds := []sharedata.Kind{sharedata.NewKind("counter", add), sharedata.NewKind("other")}
	m := newManager(t, &sharedata.Options{Store: shuffled(newMemory(t, nil)), Kinds: kinds})
	kindOf := make(map[string]string)
	for i := range 60 {
		id := fmt.Sprintf("%s/%02d", []string{"a", "b", "ab"}[i%3], i)
		kindOf[id] = []string{"counter", "other"}[i/3%2]
		if _, err := m.CreateKind(t.Context(), id, kindOf[id], 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, prefix := range []string{"", "a", "a/", "b/1", "c"} {
		for _, kind := range []string{"", "counter", "none"} {
			var want []string
			for id := range kindOf {
				if strings.HasPrefix(id, prefix) && (kind == "" || kindOf[id] == kind) {
					want = append(want, id)
				}
			}
			slices.Sort(want)
			for _, limit := range []int{0, 1, 2, 7, len(want), 1000} {
				var got []string
				options := sharedata.ListOptions{Prefix: prefix, Kind: kind, Limit: limit}
				for {
					page, err := m.List(t.Context(), &options)
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, page...); limit == 0 || len(page) < limit {
						break
					}
					if len(page) > limit {
						t.Fatalf("%d ids for a limit of %d", len(page), limit)
					}
					options.After = page[len(page)-1]
				}
				if !slices.Equal(got, want) {
					t.Errorf("prefix %q, kind %q, limit %d: got %q, want %q", prefix, kind, limit, got, want)
				}
			}
		}
	}
	after := &sharedata.ListOptions{After: "b/zzz, which does not exist"}
	if ids, err := m.List(t.Context(), after); err != nil || len(ids) != 0 {
		t.Errorf("after the last one: %q, %v", ids, err)
	}
	if _, err := m.List(t.Context(), &sharedata.ListOptions{Limit: -1}); err == nil {
		t.Error("a negative limit is accepted")
	}
}

// manyIDs is a store of n ids, of which the last in order are of the kind
// "rare"; each load is counted.
func manyIDs(n, rare int) (s *store, loads *int) {
	loads = new(int)
	id := func(i int) string { return fmt.Sprintf("%06d", i) }
	return &store{
		ids: func(context.Context) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for i := n - 1; i >= 0; i-- { // the order that keeps most ids
					if !yield(id(i), nil) {
						return
					}
				}
			}
		},
		load: func(_ context.Context, asked string, have replay.Cursor) (replay.Head, error) {
			*loads++
			kind := "common"
			if asked >= id(n-rare) {
				kind = "rare"
			}
			meta := fmt.Sprintf(`{"kind":%q,"hash":"%064d","lastTransaction":"0-0"}`, kind, 0)
			return replay.Head{Cursor: replay.Cursor{Epoch: 1, Revision: 1}, Snapshot: []byte("0"), Meta: []byte(meta)}, nil
		},
	}, loads
}

// More ids are looked at for a kind than are held in memory at once.
func TestList_KindAmongMany(t *testing.T) {
	s, loads := manyIDs(10_000, 5)
	m := newManager(t, &sharedata.Options{Store: s})
	ids, err := m.List(t.Context(), &sharedata.ListOptions{Kind: "rare", Limit: 3})
	if want := []string{"009995", "009996", "009997"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("got %q, %v, want %q", ids, err, want)
	}
	if *loads != 9_998 {
		t.Errorf("%d loads, want each ShareData up to the last of the page once", *loads)
	}
	*loads = 0
	if ids, err := m.List(t.Context(), &sharedata.ListOptions{Kind: "common", Limit: 3}); err != nil || len(ids) != 3 || *loads != 3 {
		t.Errorf("got %q, %v after %d loads", ids, err, *loads)
	}
	if ids, err := m.List(t.Context(), &sharedata.ListOptions{Kind: "rare"}); err != nil || len(ids) != 5 {
		t.Errorf("got %q, %v", ids, err)
	}
}

// The capacity of the page tells how many ids were held at once.
func TestList_BoundedMemory(t *testing.T) {
	s, _ := manyIDs(100_000, 0)
	ids, err := newManager(t, &sharedata.Options{Store: s}).List(t.Context(), &sharedata.ListOptions{Limit: 10})
	if err != nil || len(ids) != 10 || ids[0] != "000000" || ids[9] != "000009" {
		t.Errorf("got %q, %v", ids, err)
	}
	if cap(ids) > 100 {
		t.Errorf("room for %d ids was taken", cap(ids))
	}
}

func TestList_StoreFails(t *testing.T) {
	s := &store{Store: newMemory(t, nil)}
	m := newManager(t, &sharedata.Options{Store: s, Kinds: []sharedata.Kind{sharedata.NewKind("counter")}})
	for _, id := range []string{"a", "b"} {
		if _, err := m.CreateKind(t.Context(), id, "counter", 0); err != nil {
			t.Fatal(err)
		}
	}
	s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
		if id == "b" {
			return replay.Head{}, errBroken
		}
		return replay.Head{}, replay.ErrNotFound // removed after it was listed
	}
	_, err := m.List(t.Context(), &sharedata.ListOptions{Kind: "counter"})
	wantStoreError(t, err, "load", "b", errBroken)
	if ids, err := m.List(t.Context(), &sharedata.ListOptions{Kind: "counter", After: "b"}); err != nil || len(ids) != 0 {
		t.Errorf("%q, %v", ids, err)
	}
	var failed *sharedata.StoreError
	s.ids = func(context.Context) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) { yield("", errBroken) }
	}
	if _, err := m.List(t.Context(), &sharedata.ListOptions{Kind: "counter"}); !errors.As(err, &failed) || failed.Operation != "list" {
		t.Errorf("got %v", err)
	}
}

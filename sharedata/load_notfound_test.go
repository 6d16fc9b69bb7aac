package sharedata_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestLoad_CreatedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory(t, nil)
		a, b := newManager(t, &sharedata.Options{Store: memory}), newManager(t, &sharedata.Options{Store: memory})
		if _, err := b.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Fatal(err)
		}
		synctest.Wait() // where the store is no Follower, it is asked again once b is idle
		createCounter(t, a, "counter", 7)
		wantState(t, b, "counter", `{"value":7}`)
	})
}

// A ShareData that a load has not found may exist for the next request.
func TestLoad_CreatedDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory(t, nil)
		g := newGate()
		s := &store{Store: memory}
		s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			head, err := memory.Load(ctx, id, have)
			g.pass()
			return head, err
		}
		a, b := newManager(t, &sharedata.Options{Store: memory}), newManager(t, &sharedata.Options{Store: s})
		get, update := make(chan error), make(chan error)
		go func() { _, err := b.Get(t.Context(), "counter"); get <- err }()
		<-g.arrived
		createCounter(t, a, "counter", 7)
		go func() { _, err := b.Update(t.Context(), "counter", Counter{8}); update <- err }()
		synctest.Wait()
		close(g.open)
		if err := <-get; !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("the get: %v", err)
		}
		if err := <-update; err != nil {
			t.Errorf("the update: %v", err)
		}
	})
}

// A ShareData that was just found missing may exist by now.
func TestLoad_NotFoundIsNotCached(t *testing.T) {
	_, a, b := twoNodes(t)
	for i := range 500 {
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Fatalf("round %d: %v", i, err)
		}
		createCounter(t, a.Manager, "counter", 0)
		if v, err := b.Propose(t.Context(), addition("counter", 1, "")); err != nil || !v.Accepted {
			t.Fatalf("round %d: %+v, %v", i, v, err)
		}
	}
}

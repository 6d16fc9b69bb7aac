package sharedata_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/sharedata"
)

func TestKnownSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		shared := sharedstore.New()
		managers := make([]*sharedata.Manager, 2)
		for i := range managers {
			m, err := sharedata.NewManager(&sharedata.Options{Store: shared.Process()})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			managers[i] = m
		}
		here, there := managers[0], managers[1]
		want := func(after time.Duration) {
			t.Helper()
			if got := here.KnownSince("c").Sub(begun); got != after {
				t.Errorf("known since %v, want %v", got, after)
			}
		}
		must := func(_ sharedata.Snapshot, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		if !here.KnownSince("c").IsZero() || !here.SharedStore() {
			t.Error("known before it is there, or not shared")
		}
		time.Sleep(time.Second)
		must(there.Create(t.Context(), "c", 0))
		time.Sleep(time.Second)
		must(here.Get(t.Context(), "c"))
		want(2 * time.Second)
		time.Sleep(time.Second)
		must(here.Refresh(t.Context(), "c")) // nothing new
		want(2 * time.Second)
		must(there.Update(t.Context(), "c", 1))
		time.Sleep(time.Second)
		must(here.Refresh(t.Context(), "c"))
		want(4 * time.Second)
		must(here.Update(t.Context(), "c", 2))
		want(4 * time.Second)
	})
}

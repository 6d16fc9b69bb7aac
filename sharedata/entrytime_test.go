package sharedata_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Entries that were committed together used to have the time at which the first was
// decided, which was before some of them had been proposed.
func TestEntryTime_NotBeforeProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := sharedata.NewManager(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		slow := sharedata.NewFunction("slow", func(_ context.Context, state, _ int) (int, error) {
			time.Sleep(5 * time.Millisecond)
			return state + 1, nil
		})
		if _, err := m.Create(t.Context(), "n", 0, slow); err != nil {
			t.Fatal(err)
		}
		var proposed []time.Time
		for range 4 {
			proposed = append(proposed, time.Now())
			m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "n", FunctionID: "slow", Data: 0}, func(sharedata.Verdict, error) {})
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		for e, err := range m.History(t.Context(), "n", replay.Cursor{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Type == sharedata.EntryTransaction && e.Time.Before(proposed[e.Revision()-2]) {
				t.Errorf("entry %d was decided at %v, and proposed at %v", e.Revision(), e.Time, proposed[e.Revision()-2])
			}
		}
	})
}

package sharedata

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
)

// A ShareData that was found missing is still in memory while its queue is busy. The
// store is asked again, because another process may have created it.
func TestLoad_NotFoundWhileLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		kinds := []Kind{NewKind("number", increment)}
		a := newManagerWith(t, &Options{Store: shared.Process(), Kinds: kinds})
		b := newManagerWith(t, &Options{Store: shared.Process(), Kinds: kinds})
		open := make(chan struct{})
		err := b.enqueue("n", &request{
			ctx: t.Context(), change: change{kind: changeNothing},
			done: func(o outcome) {
				if o.at.exists {
					t.Error("it exists already")
				}
				<-open // and is held in memory meanwhile
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := a.CreateKind(t.Context(), "n", "number", 0); err != nil {
			t.Fatal(err)
		}
		proposed := make(chan error)
		for range 3 {
			go func() {
				_, err := b.Propose(context.Background(), Proposal{ShareDataID: "n", FunctionID: "increment"})
				proposed <- err
			}()
		}
		synctest.Wait()
		close(open)
		for range 3 {
			if err := <-proposed; err != nil {
				t.Error(err)
			}
		}
		wantNumber(t, b, "n", 3)
	})
}

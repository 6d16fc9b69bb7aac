package audit_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// A store that loses entries of which a checkpoint was signed cannot hide that.
func TestCheckpointer_HistoryLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		process := shared.Process()
		defer process.Close()
		manager := newManager(t, &sharedata.Options{Store: process})
		create(t, manager, "n")
		ignore := sharedata.ObserverFunc(func([]sharedata.Event) {})
		if _, _, err := manager.Observe(t.Context(), "n", ignore); err != nil {
			t.Fatal(err)
		}
		var s sink
		checkpointing(t, manager, audit.CheckpointerOptions{Sink: s.take})
		lost := propose(t, manager, "n", 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		shared.Flush()
		process.Check()
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.all) != 3 || s.all[1].Cursor != lost || s.all[2].Cursor.Epoch <= lost.Epoch {
			t.Fatalf("checkpoints %+v", s.all)
		}
		options := audit.Options{Keys: publicKeys(t, newSigner(t, ed25519Key))}
		for _, c := range s.all {
			options.Checkpoints = append(options.Checkpoints, c.JWS)
		}
		var out bytes.Buffer
		if _, err := audit.Export(t.Context(), &out, manager, "n", nil); err != nil {
			t.Fatal(err)
		}
		report, err := audit.Verify(&out, &options)
		if !errors.Is(err, audit.ErrMissingStart) || report.Newest.Cursor != report.Chain.Last || report.CheckpointsMatched < 2 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

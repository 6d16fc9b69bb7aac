package torture

import (
	"testing"
	"time"

	"github.com/safe-go/safe/internal/checker"
)

// A run that finds nothing says nothing, unless it would have found something.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, test := range []struct {
		options Options
		want    checker.Promise
	}{
		{Options{Plant: "duplicate-on-retry", Store: StoreMemory, Every: -1}, checker.OnceOnly},
		{Options{Plant: "skip-frame", Store: StoreMemory, Every: -1}, checker.Gapless},
		{Options{Plant: "ack-before-append", Store: StoreBolt, Kills: 4}, checker.CommittedBeforeSeen},
		{Options{Plant: "skip-announcement", Store: StoreRedis, Processes: 3, Every: -1}, checker.Complete},
	} {
		t.Run(test.options.Plant, func(t *testing.T) {
			o := test.options
			needRedis(t, o)
			o.Seed, o.Duration, o.Clients, o.Patience = seedOf(0), 3*time.Second, 8, 5*time.Second
			report := run(t, o)
			if report == nil {
				return
			}
			found := report.Violations.Of(test.want)
			if len(found) == 0 {
				t.Fatalf("nothing breaks %q:\n%v", test.want, report)
			}
			t.Logf("%d violations of %q, such as %v", len(found), test.want, found[0])
		})
	}
}

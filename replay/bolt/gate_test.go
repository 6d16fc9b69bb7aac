package bolt

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestReadersWaitForTheCommitTheySee(t *testing.T) {
	for _, committed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var g gate
			g.settle(5)
			g.begin(6)
			if err := g.wait(t.Context(), 5); err != nil {
				t.Errorf("a reader who sees what is on the disk: %v", err)
			}
			waits := make(chan error, 1)
			go func() { waits <- g.wait(t.Context(), 6) }()
			ctx, cancel := context.WithCancel(t.Context())
			gives := make(chan error, 1)
			go func() { gives <- g.wait(ctx, 6) }()
			synctest.Wait()
			select {
			case err := <-waits:
				t.Errorf("a reader did not wait for the commit: %v", err)
			default:
			}
			cancel()
			if err := <-gives; !errors.Is(err, context.Canceled) {
				t.Errorf("a reader whose context ended: %v", err)
			}
			g.end(committed)
			if err := <-waits; committed != (err == nil) || !committed && !errors.Is(err, errUnsettled) {
				t.Errorf("committed %t, the reader: %v", committed, err)
			}
			if err := g.wait(t.Context(), 7); !errors.Is(err, ErrDamaged) {
				t.Errorf("a reader who sees what was never written: %v; want ErrDamaged", err)
			}
		})
	}
}

package realtime

import (
	"sync"
	"testing"
)

func TestGate(t *testing.T) {
	var g gate
	var waiting sync.WaitGroup
	passed := 0 // guarded by g, which the race detector notices
	for range 8 {
		waiting.Go(func() {
			for range 1000 {
				g.lock()
				passed++
				g.unlock()
			}
		})
	}
	waiting.Wait()
	if passed != 8000 || g.wanted.Load() != 0 {
		t.Errorf("%d passed, %d want to", passed, g.wanted.Load())
	}
}

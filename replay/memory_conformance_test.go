package replay_test

import (
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/replaytest"
)

func TestMemoryConformance(t *testing.T) {
	replaytest.Run(t, replaytest.Harness{
		Open: func(t testing.TB) replay.Store { return newMemory(t, nil) },
		OpenBounded: func(t testing.TB, entries int) replay.Store {
			return newMemory(t, &replay.MemoryOptions{MaxEntries: entries})
		},
		Second: func(t testing.TB, store replay.Store) replay.Store { return shared{store} },
	})
}

// shared is a further handle on a Memory, which closes nothing.
type shared struct{ replay.Store }

func newMemory(t testing.TB, options *replay.MemoryOptions) *replay.Memory {
	t.Helper()
	m, err := replay.NewMemory(options)
	if err != nil {
		t.Fatalf("NewMemory(%+v): %v", options, err)
	}
	return m
}

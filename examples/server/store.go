package main

import (
	"fmt"
	"log/slog"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/storeurl"
)

// openStore opens the store that -store names. It keeps at least window entries of each
// history.
func openStore(name string, window int, logger *slog.Logger) (storeurl.Store, error) {
	store, err := storeurl.Open(name, &storeurl.Options{
		Memory: replay.MemoryOptions{MaxEntries: max(window, 1000), MaxBytes: 64 << 20},
		Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("-store: %w", err)
	}
	return store, nil
}

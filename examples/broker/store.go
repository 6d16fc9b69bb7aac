package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/replay/storeurl"
)

// openStore opens the store that -store names, in a folder that is made. Whole histories
// are kept, because they say which events were published.
func openStore(name string, logger *slog.Logger) (storeurl.Store, error) {
	if file, is := strings.CutPrefix(name, "bolt:"); is {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, err
		}
	}
	store, err := storeurl.Open(name, &storeurl.Options{
		Memory: replay.MemoryOptions{MaxEntries: 100_000, MaxBytes: 64 << 20},
		Bolt:   bolt.Options{Logger: logger},
		Redis:  redis.Options{Logger: logger},
	})
	if err != nil {
		return nil, fmt.Errorf("-store: %w", err)
	}
	return store, nil
}

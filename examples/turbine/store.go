package main

import (
	"fmt"
	"log/slog"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/replay/storeurl"
)

// openStore opens the store that -store names. It keeps about as many publications of each
// channel as can be recovered.
func openStore(name string, window int, logger *slog.Logger) (storeurl.Store, error) {
	store, err := storeurl.Open(name, &storeurl.Options{
		Memory: replay.MemoryOptions{MaxEntries: window},
		Bolt:   bolt.Options{MaxEntries: window, Logger: logger},
		Redis:  redis.Options{MaxEntries: window, Logger: logger},
	})
	if err != nil {
		return nil, fmt.Errorf("-store: %w", err)
	}
	return store, nil
}

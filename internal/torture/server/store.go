package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/replay/storeurl"
)

// openStore opens the store that -store names. Redis need not be reachable; its time-outs
// are short, and missed notifications are checked for often, because a run is short. The
// store keeps as many entries as -retention says.
func openStore(name string, retention int, logger *slog.Logger) (storeurl.Store, error) {
	if strings.HasPrefix(name, "redis:") {
		name += "?dial_timeout=1s"
	}
	store, err := storeurl.Open(name, &storeurl.Options{
		Memory: replay.MemoryOptions{MaxEntries: retention, MaxBytes: -1},
		Bolt:   bolt.Options{MaxEntries: retention},
		Redis: redis.Options{
			MaxEntries: retention, Timeout: 2 * time.Second, CheckInterval: 2 * time.Second, MaxSilence: 1500 * time.Millisecond,
		},
		Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("-store: %w", err)
	}
	return store, nil
}

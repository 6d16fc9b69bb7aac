package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/redis"
)

// openStore opens the store that -store names, and returns it with the function that
// closes it. Whole histories are kept, because they say which events were published.
func openStore(name string, logger *slog.Logger) (replay.Store, func() error, error) {
	scheme, rest, _ := strings.Cut(name, ":")
	switch scheme {
	case "mem":
		memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: 100_000, MaxBytes: 64 << 20})
		if err != nil {
			return nil, nil, err
		}
		return memory, memory.Close, nil
	case "bolt":
		if err := os.MkdirAll(filepath.Dir(rest), 0o700); err != nil {
			return nil, nil, err
		}
		file, err := bolt.Open(rest, &bolt.Options{Logger: logger})
		if err != nil {
			return nil, nil, err
		}
		return file, file.Close, nil
	case "redis", "rediss", "unix":
		options, err := goredis.ParseURL(name)
		if err != nil {
			return nil, nil, fmt.Errorf("-store: %w", err)
		}
		options.ContextTimeoutEnabled = true
		client := goredis.NewClient(options)
		shared, err := redis.New(client, &redis.Options{Logger: logger})
		if err != nil {
			return nil, nil, errors.Join(err, client.Close())
		}
		return shared, func() error { return errors.Join(shared.Close(), client.Close()) }, nil
	}
	return nil, nil, fmt.Errorf("-store %q: use mem:, bolt:FILE or redis://HOST:PORT", name)
}

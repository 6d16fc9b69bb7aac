package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/redis"
)

// openStore opens the store that -store names, and returns it with a function that closes
// it. It keeps about as many publications of each channel as can be recovered.
func openStore(name string, window int, logger *slog.Logger) (replay.Store, func() error, error) {
	scheme, rest, _ := strings.Cut(name, ":")
	switch {
	case name == "mem:":
		memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: window})
		if err != nil {
			return nil, nil, err
		}
		return memory, memory.Close, nil
	case scheme == "bolt" && rest != "":
		file, err := bolt.Open(rest, &bolt.Options{MaxEntries: window, Logger: logger})
		if err != nil {
			return nil, nil, err
		}
		return file, file.Close, nil
	case scheme == "redis" || scheme == "rediss" || scheme == "unix":
		options, err := goredis.ParseURL(name)
		if err != nil {
			return nil, nil, fmt.Errorf("-store: %w", err)
		}
		options.ContextTimeoutEnabled = true
		client := goredis.NewClient(options)
		shared, err := redis.New(client, &redis.Options{MaxEntries: window, Logger: logger})
		if err != nil {
			return nil, nil, errors.Join(err, client.Close())
		}
		return shared, func() error { return errors.Join(shared.Close(), client.Close()) }, nil
	}
	return nil, nil, fmt.Errorf("-store %q: use mem:, bolt:FILE or redis://HOST:PORT", name)
}

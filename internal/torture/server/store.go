package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/redis"
)

// openStore opens the store that -store names, and returns it with a function that
// closes it. Redis need not be reachable. The store keeps as many entries as -retention
// says.
func openStore(name string, retention int, logger *slog.Logger) (store replay.Store, closeStore func() error, err error) {
	scheme, rest, _ := strings.Cut(name, ":")
	switch scheme {
	case "mem":
		memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: retention, MaxBytes: -1})
		return memory, func() error { return nil }, err
	case "bolt":
		file, err := bolt.Open(rest, &bolt.Options{MaxEntries: retention, Logger: logger})
		if err != nil {
			return nil, nil, err
		}
		return file, file.Close, nil
	case "redis":
		return openRedis(name, retention, logger)
	}
	return nil, nil, fmt.Errorf("-store %q: use mem:, bolt:FILE or redis://HOST:PORT", name)
}

// openRedis uses short time-outs, and checks often for missed notifications, because
// a run is short.
func openRedis(url string, retention int, logger *slog.Logger) (replay.Store, func() error, error) {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return nil, nil, err
	}
	options.ContextTimeoutEnabled = true
	options.DialTimeout = time.Second
	client := goredis.NewClient(options)
	store, err := redis.New(client, &redis.Options{
		MaxEntries: retention, Timeout: 2 * time.Second, CheckInterval: 2 * time.Second, MaxSilence: 1500 * time.Millisecond, Logger: logger,
	})
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return store, func() error { return errors.Join(store.Close(), client.Close()) }, nil
}

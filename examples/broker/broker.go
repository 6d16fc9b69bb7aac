package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay/storeurl"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

// broker is the service. What it knows is in ShareData, which model.go lists.
type broker struct {
	config    config
	manager   *sharedata.Manager
	realtime  *realtime.Server
	scheduler *schedule.Scheduler
	attempts  *attempts
	tokenKey  []byte // of HS256
	log       *slog.Logger
}

// withBroker opens the store, publishes what is due while use runs, and closes the store.
func withBroker(ctx context.Context, c config, logger *slog.Logger, use func(*broker) error) (err error) {
	if file, isFile := strings.CutPrefix(c.store, "bolt:"); isFile {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
	}
	store, err := storeurl.Open(c.store, &storeurl.Options{Logger: logger})
	if err != nil {
		return fmt.Errorf("-store: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store, Kinds: kinds, Logger: logger})
	if err != nil {
		return err
	}
	defer manager.Close()
	if _, err := manager.EnsureKind(ctx, latestID, latestKind, struct{}{}); err != nil {
		return err
	}
	server, err := realtime.NewServer(manager, &realtime.Options{
		ReplayWindow: 10_000, OriginPatterns: []string{strings.ReplaceAll(c.origin, "[", `\[`)}, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	scheduler, err := schedule.New(manager, &schedule.Options{Logger: logger})
	if err != nil {
		return err
	}
	var publishing sync.WaitGroup
	defer publishing.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	publishing.Go(func() { _ = scheduler.Run(ctx) }) // ends with the context, and for no other reason
	// A secret may be shorter than a key has to be (RFC 7518 section 3.2), so the key is its hash.
	key := sha256.Sum256([]byte(c.secret))
	return use(&broker{c, manager, server, scheduler, newAttempts(c.attempts), key[:], logger})
}

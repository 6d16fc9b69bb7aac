package main

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/storeurl"
	"github.com/safe-go/safe/sharedata"
)

// service serves channels to clients and peers.
type service struct {
	config   config
	log      *slog.Logger
	manager  *sharedata.Manager
	realtime *realtime.Server

	linking context.Context // ends when no more links are to be opened
	linked  sync.Map        // the names of the channels that are linked
	running sync.WaitGroup  // goroutines of connections and links
}

// withService opens the store and links the channels in it while use runs: a peer that has
// lost them gets them back. No link is opened after the context has ended. It ends all
// connections and links.
func withService(ctx context.Context, c config, logger *slog.Logger, use func(*service) error) error {
	store, err := storeurl.Open(c.store, &storeurl.Options{
		// More than newcomers are sent: a link that was lost is resumed, and repeats are
		// recognised, as far back as messages are kept.
		Memory: replay.MemoryOptions{MaxEntries: max(1000, 10*int(c.limit)), MaxBytes: 16 << 20},
		Logger: logger,
	})
	if err != nil {
		return err
	}
	defer store.Close()
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store, Kinds: []sharedata.Kind{channelKind}, Logger: logger})
	if err != nil {
		return err
	}
	defer manager.Close()
	server, err := realtime.NewServer(manager, &realtime.Options{
		ReplayWindow:      math.MaxInt32, // replayable decides
		MaxBufferedBytes:  16 * maxMessage,
		Heartbeat:         c.heartbeat,
		MessagesPerSecond: -1, // each connection has one message at a time stored
		// A peer opens a connection for each channel, all from one address.
		MaxConnectionsPerAddress: -1,
		Logger:                   logger,
	})
	if err != nil {
		return err
	}
	s := &service{config: c, log: logger, manager: manager, realtime: server}
	defer s.running.Wait()
	defer server.Close()
	linking, stop := context.WithCancel(ctx)
	defer stop()
	s.linking = linking
	channels, err := manager.List(context.Background(), &sharedata.ListOptions{Prefix: idPrefix})
	if err != nil {
		return err
	}
	for _, id := range channels {
		s.link(strings.TrimPrefix(id, idPrefix))
	}
	return use(s)
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// service serves channels to clients and peers.
type service struct {
	config   config
	log      *slog.Logger
	manager  *sharedata.Manager
	realtime *realtime.Server

	linking     context.Context // ends when no more links are to be opened
	stopLinking context.CancelFunc
	linked      sync.Map       // the names of the channels that are linked
	running     sync.WaitGroup // goroutines of connections and links
}

// newService returns a service, which links the channels in the store: a peer that has lost
// them gets them back. No link is opened after the context has ended.
func newService(ctx context.Context, c config, store replay.Store, logger *slog.Logger) (*service, error) {
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store, Kinds: []sharedata.Kind{channelKind}, Logger: logger})
	if err != nil {
		return nil, err
	}
	server, err := realtime.NewServer(manager, &realtime.Options{
		ReplayWindow:      math.MaxInt32, // replayable decides
		MaxBufferedBytes:  16 * maxMessage,
		Heartbeat:         c.heartbeat,
		MessagesPerSecond: -1, // each connection has one message at a time stored
		Logger:            logger,
	})
	if err != nil {
		return nil, errors.Join(err, manager.Close())
	}
	s := &service{config: c, log: logger, manager: manager, realtime: server}
	s.linking, s.stopLinking = context.WithCancel(ctx)
	channels, err := manager.List(context.Background(), &sharedata.ListOptions{Prefix: idPrefix})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	for _, id := range channels {
		s.link(strings.TrimPrefix(id, idPrefix))
	}
	return s, nil
}

// close ends all connections and links.
func (s *service) close() error {
	s.stopLinking()
	err := s.realtime.Close()
	s.running.Wait()
	return errors.Join(err, s.manager.Close())
}

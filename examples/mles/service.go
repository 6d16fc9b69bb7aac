package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/sharedata"
)

// service is the channels, and who is connected to them.
type service struct {
	limit    uint
	key      string
	log      *slog.Logger
	ctx      context.Context // ends with close
	cancel   context.CancelFunc
	manager  *sharedata.Manager
	realtime *realtime.Server
	links    *links

	connections sync.WaitGroup // that were accepted
}

// newService returns a service, which links the channels in the store: a peer that has lost
// them gets them back.
func newService(c config, store replay.Store, logger *slog.Logger) (*service, error) {
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
	s := &service{limit: c.limit, key: c.key, log: logger, manager: manager, realtime: server}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.links = newLinks(s, c.peers)
	channels, err := manager.List(s.ctx, &sharedata.ListOptions{Prefix: idPrefix})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	for _, id := range channels {
		s.links.open(strings.TrimPrefix(id, idPrefix))
	}
	return s, nil
}

// shutdown has clients and peers sent what waits for them, and disconnects them.
func (s *service) shutdown(ctx context.Context) error {
	s.links.close()
	err := s.realtime.Shutdown(ctx)
	s.connections.Wait()
	return err
}

// close ends what is left.
func (s *service) close() error {
	s.links.close()
	s.cancel()
	return errors.Join(s.realtime.Close(), s.manager.Close())
}

// openStore opens the store that -store names.
func openStore(c config, logger *slog.Logger) (interface {
	replay.Store
	io.Closer
}, error) {
	file, isFile := strings.CutPrefix(c.store, "bolt:")
	switch {
	case isFile && file != "":
		return bolt.Open(file, &bolt.Options{Logger: logger})
	case c.store == "mem":
		// More than newcomers are sent: a link that was lost is resumed, and repeats are
		// recognised, as far back as messages are kept.
		return replay.NewMemory(&replay.MemoryOptions{MaxEntries: max(1000, 10*int(c.limit)), MaxBytes: 16 << 20})
	}
	return nil, fmt.Errorf("-store %q: use mem or bolt:FILE", c.store)
}

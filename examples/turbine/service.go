package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

const (
	// maxCommand is the size of the largest command, in bytes.
	maxCommand = 64 << 10
	// maxBuffered is how many bytes may wait for a session, whatever -max-waiting says.
	maxBuffered = 8 << 20
)

// service is a node.
type service struct {
	config   config
	logger   *slog.Logger
	channels channels
	tokens   *tokens
	realtime *realtime.Server
	cluster  *cluster // nil where nothing is forwarded
	closing  []func() error

	// Sessions that were closed because too much waited for them, and publications that
	// were left out (-slow conflate).
	closed, skipped atomic.Uint64
}

// newService returns a node. Callers close it.
func newService(c config, logger *slog.Logger) (*service, error) {
	s := &service{config: c, logger: logger}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *service) open() (err error) {
	if s.tokens, err = newTokens(s.config); err != nil {
		return err
	}
	store, err := openStore(s.config.store, s.config.window, s.logger)
	if err != nil {
		return err
	}
	s.closing = append(s.closing, store.Close)
	manager, err := sharedata.NewManager(&sharedata.Options{
		Store: store, Kinds: []sharedata.Kind{sharedata.NewKind(channelKind, publish)}, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	s.closing = append(s.closing, manager.Close)
	s.channels = channels{manager}
	s.realtime, err = realtime.NewServer(manager, &realtime.Options{
		AuthorizeSubscribe:  s.authorizeSubscribe,
		ReplayWindow:        s.config.window,
		MaxSubscriptions:    s.config.maxSubscriptions,
		MaxBufferedMessages: s.config.maxWaiting,
		MaxBufferedBytes:    maxBuffered,
		MaxMessageBytes:     maxCommand,
		// Any number of clients may have one sub.
		MaxConnectionsPerSubject: -1,
		OriginPatterns:           []string{"*"}, // a page of whatever origin needs a token of its own
		Observer: realtime.Observer{
			OnOverflow: func(realtime.OverflowEvent) { s.closed.Add(1) },
			OnSkip:     func(e realtime.SkipEvent) { s.skipped.Add(e.Entries) },
		},
		Logger: s.logger,
	})
	if err != nil {
		return err
	}
	s.closing = append(s.closing, s.realtime.Close)
	if s.config.natsURL != "" {
		if s.cluster, err = joinCluster(s.config.natsURL, s.config.natsPrefix, s.channels, s.logger); err != nil {
			return err
		}
		s.closing = append(s.closing, s.cluster.close)
	}
	return nil
}

// close ends what open began, the last first.
func (s *service) close() (err error) {
	for i := len(s.closing) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closing[i]())
	}
	return err
}

func (s *service) handler() http.Handler {
	options := &realtime.WebSocketOptions{Protocol: turbine, Receive: s.receive}
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { s.realtime.ServeWebSocket(w, r, options) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	mux.HandleFunc("POST /api/publish", s.requireKey(s.servePublish))
	mux.HandleFunc("GET /api/stats", s.requireKey(s.serveStats))
	return mux
}

// receive carries out a command.
func (s *service) receive(session *realtime.Session, m realtime.ClientMessage) {
	c, why := decode(m.Data)
	refuse := func(code int, message string) { session.Send(failed(c.ID, code, message)) }
	confirm := func(what string) {
		session.Send(text(response{ID: json.RawMessage(c.ID), Result: map[string]bool{what: true}}))
	}
	switch {
	case m.RetryAfter > 0:
		refuse(tooMany, "too many commands; send it again in "+m.RetryAfter.String())
	case why != "":
		refuse(badCommand, why)
	case c.Method == "ping":
		confirm("pong")
	case c.Method == "connect":
		if err := s.connect(session, c.Token); err != nil {
			s.logger.Debug("connect refused", "error", err)
			refuse(notAuthenticated, "not authenticated")
			return
		}
		confirm("connected")
	case session.Caller() == nil:
		refuse(notAuthenticated, "not authenticated")
	case c.Method == "subscribe":
		session.Subscribe(realtime.Subscription{
			ShareDataID: idOf(c.Channel), Since: c.Recover, Conflate: s.config.slow == slowConflate, CorrelationID: c.ID,
		})
	case c.Method == "unsubscribe":
		session.UnsubscribeWith(idOf(c.Channel), c.ID)
	}
}

// connect makes the owner of a token the caller of a session.
func (s *service) connect(session *realtime.Session, token string) error {
	caller, err := s.tokens.caller(token)
	if err != nil {
		return err
	}
	return session.SetCaller(caller)
}

// authorizeSubscribe is the hook of the server. It creates a channel that a client is the
// first to use.
func (s *service) authorizeSubscribe(ctx context.Context, caller *sharedata.Caller, id string) error {
	channel := channelOf(id)
	if !maySubscribe(caller, channel) {
		return &realtime.Refusal{} // 403
	}
	if err := s.channels.ensure(ctx, channel); err != nil {
		s.logger.Warn("a channel cannot be used", "channel", channel, "error", err)
		return &realtime.Refusal{Code: codes.Unavailable, Message: "the channel cannot be used at the moment; subscribe again later"}
	}
	return nil
}

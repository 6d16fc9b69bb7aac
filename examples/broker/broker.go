package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

// broker is the service. What it knows is in ShareData, which model.go lists.
type broker struct {
	config    config
	manager   *sharedata.Manager
	realtime  *realtime.Server
	scheduler *schedule.Scheduler
	tokens    *auth.Authenticator
	attempts  *attempts
	hashing   chan struct{} // held while a password is hashed
	log       *slog.Logger
	closers   []func() error // called in reverse
}

// open opens the store, and begins to publish what is due.
func open(ctx context.Context, c config, logger *slog.Logger) (_ *broker, err error) {
	b := &broker{config: c, log: logger, attempts: newAttempts(c.attempts), hashing: make(chan struct{}, runtime.GOMAXPROCS(0))}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.tokens, err = newAuthenticator(c.secret); err != nil {
		return nil, err
	}
	store, err := openStore(c.store, logger)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, store.Close)
	if b.manager, err = sharedata.NewManager(&sharedata.Options{Store: store, Kinds: kinds, Logger: logger}); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.manager.Close)
	b.realtime, err = realtime.NewServer(b.manager, &realtime.Options{
		ReplayWindow: 10_000, OriginPatterns: []string{strings.ReplaceAll(c.origin, "[", `\[`)}, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.realtime.Close)
	if _, err := b.manager.EnsureKind(ctx, latestID, latestKind, struct{}{}); err != nil {
		return nil, err
	}
	if b.scheduler, err = schedule.New(b.manager, &schedule.Options{Logger: logger}); err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = b.scheduler.Run(running) // which ends with the context, and for no other reason
	}()
	b.closers = append(b.closers, func() error { cancel(); <-ended; return nil })
	return b, nil
}

func (b *broker) close() (err error) {
	for i := len(b.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, b.closers[i]())
	}
	return err
}

// handler routes the documented endpoints.
func (b *broker) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users", b.public(b.createUser))
	mux.HandleFunc("POST /login", b.public(b.login))
	mux.HandleFunc("POST /insert", b.authenticated(b.insert))
	mux.HandleFunc("GET /events", b.stream)
	mux.HandleFunc("GET /events/user", b.authenticated(b.userEvents))
	mux.HandleFunc("GET /events/collections/{id}", b.authenticated(b.collection))
	// Every action, as /events/{id}/cancel and /events/collections/{id} could not be told apart.
	mux.HandleFunc("GET /events/{id}/{action}", b.authenticated(b.cancelEvent))
	return b.realtime.AllowOrigins(mux)
}

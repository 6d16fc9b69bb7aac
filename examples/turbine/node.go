package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/replay/storeurl"
	"github.com/safe-go/safe/sharedata"
)

// node is a server of the protocol.
type node struct {
	config        config
	logger        *slog.Logger
	authenticator *auth.Authenticator
	manager       *sharedata.Manager
	server        *realtime.Server
	cluster       *cluster // nil where nothing is forwarded

	// Sessions that were closed because too much waited for them, publications that were
	// left out (-slow conflate), and publications that could not be forwarded.
	closed, skipped, unforwarded atomic.Uint64
}

// run serves until ctx ends, and then shuts down gracefully.
func run(ctx context.Context, c config, out io.Writer, logger *slog.Logger) (err error) {
	n := &node{config: c, logger: logger}
	if n.authenticator, err = newAuthenticator(c); err != nil {
		return err
	}
	options := storeurl.Options{Logger: logger} // it keeps about as many publications of each channel as can be recovered
	options.Memory.MaxEntries, options.Bolt.MaxEntries, options.Redis.MaxEntries = c.window, c.window, c.window
	store, err := storeurl.Open(c.store, &options)
	if err != nil {
		return fmt.Errorf("-store: %w", err)
	}
	defer store.Close()
	n.manager, err = sharedata.NewManager(&sharedata.Options{Store: store, Kinds: []sharedata.Kind{channelKind}, Logger: logger})
	if err != nil {
		return err
	}
	defer n.manager.Close()
	if n.server, err = realtime.NewServer(n.manager, n.serverOptions()); err != nil {
		return err
	}
	defer n.server.Close()
	if c.natsURL != "" {
		if n.cluster, err = joinCluster(n); err != nil {
			return err
		}
		defer n.cluster.close()
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s\n", listener.Addr())
	if c.dev && c.secret == devSecret && c.key == devKey {
		printGuide(out, listener.Addr().String())
	}
	return n.server.Serve(ctx, listener, &http.Server{Handler: n.handler()})
}

func (n *node) serverOptions() *realtime.Options {
	return &realtime.Options{
		AuthorizeSubscribe:       n.authorizeSubscribe,
		ReplayWindow:             n.config.window,
		MaxSubscriptions:         n.config.maxSubscriptions,
		MaxBufferedMessages:      n.config.maxWaiting,
		MaxBufferedBytes:         8 << 20, // whatever the number of messages
		MaxMessageBytes:          64 << 10,
		MaxConnectionsPerSubject: -1,            // any number of clients may have one sub
		OriginPatterns:           []string{"*"}, // a page of any origin needs a token of its own
		Observer: realtime.Observer{
			OnOverflow: func(realtime.OverflowEvent) { n.closed.Add(1) },
			OnSkip:     func(e realtime.SkipEvent) { n.skipped.Add(e.Entries) },
		},
		Logger: n.logger,
	}
}

func (n *node) handler() http.Handler {
	webSocket := &realtime.WebSocketOptions{Protocol: turbine, Receive: n.receive}
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { n.server.ServeWebSocket(w, r, webSocket) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	mux.HandleFunc("POST /api/publish", n.api(n.servePublish))
	mux.HandleFunc("GET /api/stats", n.api(n.serveStats))
	return mux
}

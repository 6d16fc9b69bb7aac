// Command server is the process that package torture starts and kills: a manager on
// a store, served over WebSocket, server-sent events and HTTP, and administered over HTTP.
//
// Its first line on standard output is "listening on http://HOST:PORT". It also
// starts where its store cannot be reached. With -bug it breaks a promise on
// purpose.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// Time-outs are short, because a run is.
const (
	heartbeat       = 2 * time.Second
	storeTimeout    = 3 * time.Second
	shutdownTimeout = 5 * time.Second
)

func main() {
	store := flag.String("store", "mem:", "`store`: mem:, bolt:FILE or redis://HOST:PORT")
	node := flag.String("node", "node", "`name` of this process")
	window := flag.Int("window", 100, "replay window in `entries`")
	retention := flag.Int("retention", -1, "`number` of entries that the store keeps of each history; -1: all")
	bug := flag.String("bug", "", "`bug` to have: "+bugNames)
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", *node)
	if err := run(ctx, *store, *retention, *node, *window, *bug, logger); err != nil {
		logger.Error("server ended", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then shuts down gracefully.
func run(ctx context.Context, storeName string, retention int, node string, window int, bug string, logger *slog.Logger) error {
	opened, err := openStore(storeName, retention, logger)
	if err != nil {
		return err
	}
	defer opened.Close()
	store, wrap, err := withBug(bug, opened)
	if err != nil {
		return err
	}
	manager, err := sharedata.NewManager(&sharedata.Options{
		Store: store, Kinds: kinds(), StoreTimeout: storeTimeout, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer manager.Close()

	server, err := realtime.NewServer(manager, &realtime.Options{ReplayWindow: window, Heartbeat: heartbeat, Logger: logger})
	if err != nil {
		return err
	}
	defer server.Close()
	mux := http.NewServeMux()
	endpoint := wrap(identified(fmt.Sprintf("%s/%d", node, os.Getpid()), server))
	mux.Handle("/realtime", endpoint)
	mux.Handle("/realtime/", endpoint)
	mux.Handle("/admin/", adminHandler(manager))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	httpServer := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	fmt.Printf("listening on http://%s\n", listener.Addr())

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return errors.Join(server.Shutdown(shutdown), httpServer.Shutdown(shutdown))
}

// identified adds the name of the process to every response.
func identified(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Served-By", name)
		next.ServeHTTP(w, r)
	})
}

type counter struct {
	Value int64 `json:"value"`
}

type addInput struct {
	By int64 `json:"by"`
}

// kinds returns the functions that package torture models.
func kinds() []sharedata.Kind {
	return []sharedata.Kind{
		sharedata.NewKind("counter",
			sharedata.NewFunction("add", func(_ context.Context, c counter, in addInput) (counter, error) {
				if c.Value+in.By < 0 {
					return c, sharedata.Reject("the counter cannot go below zero")
				}
				c.Value += in.By
				return c, nil
			}),
			sharedata.NewFunction("reset", func(context.Context, counter, json.RawMessage) (counter, error) {
				return counter{}, nil
			}),
		),
		sharedata.NewKind("register",
			sharedata.NewRawFunction("set", func(_ context.Context, _, proposed json.RawMessage) (json.RawMessage, error) {
				if bytes.Equal(proposed, []byte("null")) {
					return nil, sharedata.Reject("a register cannot be set to null")
				}
				return proposed, nil
			}),
		),
		documentKind(),
	}
}

// Command server is the process that package torture starts, kills and judges:
// a manager on a store, served over WebSocket and administered over HTTP.
//
// Its first line on standard output is "listening on http://HOST:PORT". It
// starts also where its store cannot be reached. With -plant it breaks a
// promise on purpose.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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

// shutdownTimeout is how long a gentle shutdown may take before it cuts.
const shutdownTimeout = 5 * time.Second

type config struct {
	addr         string
	store        string
	node         string
	window       int
	maxBuffered  int
	heartbeat    time.Duration
	storeTimeout time.Duration
	plant        string
}

func main() {
	var c config
	flag.StringVar(&c.addr, "addr", "127.0.0.1:0", "`host:port` to listen on; port 0 takes a free one")
	flag.StringVar(&c.store, "store", "mem:", "`store`: mem:, bolt:FILE or redis://HOST:PORT")
	flag.StringVar(&c.node, "node", "node", "`name` of this process")
	flag.IntVar(&c.window, "window", 100, "replay window in `entries`")
	flag.IntVar(&c.maxBuffered, "max-buffered", 1<<20, "`bytes` that may wait for one connection")
	flag.DurationVar(&c.heartbeat, "heartbeat", 2*time.Second, "`interval` of WebSocket pings")
	flag.DurationVar(&c.storeTimeout, "store-timeout", 3*time.Second, "longest `time` for one call of the store")
	flag.StringVar(&c.plant, "plant", "", "`bug` to plant: "+plantNames)
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", c.node)
	if err := run(ctx, c, os.Stdout, logger); err != nil {
		logger.Error("server ended", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then shuts down gently. Its first line on out
// says where it listens.
func run(ctx context.Context, c config, out io.Writer, logger *slog.Logger) error {
	store, closeStore, err := openStore(c.store, logger)
	if err != nil {
		return err
	}
	defer closeStore()
	planted, err := plant(c.plant, store)
	if err != nil {
		return err
	}
	manager, err := sharedata.NewManager(&sharedata.Options{
		Store: planted.store, Kinds: kinds(), StoreTimeout: c.storeTimeout, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer manager.Close()

	server, err := realtime.NewServer(manager, &realtime.Options{
		ReplayWindow: c.window, MaxBufferedBytes: c.maxBuffered, Heartbeat: c.heartbeat, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	mux := http.NewServeMux()
	mux.Handle("/realtime", planted.wrap(identified(fmt.Sprintf("%s/%d", c.node, os.Getpid()), server)))
	mux.Handle("/admin/", adminHandler(manager))

	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	httpServer := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	fmt.Fprintf(out, "listening on http://%s\n", listener.Addr())

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return errors.Join(server.Shutdown(patience), httpServer.Shutdown(patience))
}

// identified tells whoever connects which process it is.
func identified(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Served-By", name)
		next.ServeHTTP(w, r)
	})
}

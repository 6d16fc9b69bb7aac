// Command mles serves the Mles protocol: channels over WebSocket with a history for
// newcomers, TLS by ACME, static files, and peers.
//
//	go run ./examples/mles -dev
//
// README.md is the page for users. A channel is a ShareData, and each message on it a
// transaction: channel.go. Who is sent what, in which order and from where on, is the work
// of package realtime; connection.go turns frames into proposals and messages into
// frames, and peering.go does the same between servers.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	c, err := parseConfig(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "mles:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.level}))
	if err := run(ctx, c, ":80", os.Stdout, logger); err != nil {
		logger.Error("mles ended", "error", err)
		os.Exit(1)
	}
}

// shutdownTimeout is how long clients have to read what waits for them at the end.
const shutdownTimeout = 10 * time.Second

// banner says where the server listens, and what to try.
const banner = `listening on http%[1]s://%[2]s
try: websocat ws%[1]s://%[2]s --header "Sec-WebSocket-Protocol: %[3]s"
     { "uid":"alice", "channel":"example" }
     Hello Bob!
`

// run serves until the context ends. It writes to out where it listens. redirectAddr is
// where HTTP is redirected.
func run(ctx context.Context, c config, redirectAddr string, out io.Writer, logger *slog.Logger) error {
	certificates := newCertificates(c)
	encryption, err := tlsConfig(c, certificates)
	if err != nil {
		return err
	}
	site := &website{domains: c.domains}
	if c.wwwroot != "" {
		if site.root, err = os.OpenRoot(c.wwwroot); err != nil {
			return err
		}
		defer site.root.Close()
	}
	store, err := openStore(c, logger)
	if err != nil {
		return err
	}
	defer store.Close()
	s, err := newService(c, store, logger)
	if err != nil {
		return err
	}
	defer s.close()
	host, secure := "", ""
	if c.dev {
		host = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(int(c.port))))
	if err != nil {
		return err
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if encryption != nil {
		listener, secure = tls.NewListener(listener, encryption), "s"
	}
	fmt.Fprintf(out, banner, secure, net.JoinHostPort(c.domains[0], port), subprotocol)
	var servers []*http.Server
	served := make(chan error, 2)
	serve := func(listener net.Listener, handler http.Handler) {
		web := &http.Server{
			// The time-outs are for requests: a WebSocket has none of them.
			Handler: handler, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
			ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		}
		servers = append(servers, web)
		go func() { served <- web.Serve(listener) }()
	}
	if c.redirect {
		plain, err := net.Listen("tcp", redirectAddr)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "redirecting http://%s\n", plain.Addr())
		serve(plain, certificates.HTTPHandler(nil))
	}
	serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			s.accept(w, r)
			return
		}
		site.ServeHTTP(w, r)
	}))
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	timeout, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	for _, web := range servers {
		err = errors.Join(err, web.Shutdown(timeout))
	}
	return errors.Join(err, s.shutdown(timeout))
}

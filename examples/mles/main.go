// Command mles serves the Mles protocol: channels over WebSocket with a history for
// newcomers, TLS by ACME, static files, and peers.
//
//	go run ./examples/mles -dev
//
// README.md is the page for users. A channel is a ShareData, and each message on it a
// transaction: channel.go. Package realtime decides which messages a connection is sent, in
// which order and from which position; connection.go turns frames into proposals and messages
// into frames, and peering.go does the same between servers. firstframe.go decodes the first
// frame and checks its auth, service.go connects the parts, and certificates.go and website.go
// are about TLS and the static files.
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
	"strings"
	"syscall"
	"time"
)

func main() {
	c, err := parseConfig(os.Args[1:], os.Stderr)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, c, ":80", os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.level})))
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mles:", err)
		os.Exit(1)
	}
}

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
	site, err := newWebsite(c)
	if err != nil {
		return err
	}
	return withService(ctx, c, logger, func(s *service) error {
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", c.host, c.port))
		if err != nil {
			return err
		}
		address := fmt.Sprintf("%s:%d", c.domains[0], listener.Addr().(*net.TCPAddr).Port)
		secure := ""
		if encryption != nil {
			listener, secure = tls.NewListener(listener, encryption), "s"
		}
		fmt.Fprintf(out, banner, secure, address, subprotocol)
		errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
		if c.redirect {
			plain, err := net.Listen("tcp", redirectAddr)
			if err != nil {
				return errors.Join(err, listener.Close())
			}
			redirect := &http.Server{Handler: certificates.HTTPHandler(nil), ReadTimeout: 10 * time.Second, ErrorLog: errorLog}
			defer redirect.Close()
			go redirect.Serve(plain)
			fmt.Fprintf(out, "redirecting http://%s\n", plain.Addr())
		}
		return s.realtime.Serve(ctx, listener, &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
					s.accept(w, r)
					return
				}
				site.ServeHTTP(w, r)
			}),
			WriteTimeout: 10 * time.Minute, // for large files and slow networks; a WebSocket has no time-out
			ErrorLog:     errorLog,
		})
	})
}

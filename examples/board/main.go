// Command board serves a page with a shared board of cards, which is one ShareData.
//
//	go run ./examples/board
//
// Open http://127.0.0.1:8080 in several tabs: each is another person. The page follows
// the board with the module of package client/js, which it gets from /safe.js: it is
// sent patches, proposes what people do, and shows the codes of rejections. What
// remains of the service is in board.go: the state and three functions.
package main

import (
	"context"
	_ "embed" // for the page
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/safe-go/safe/client/js"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

//go:embed index.html
var page []byte

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`host:port` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "board:", err)
		os.Exit(1)
	}
}

// run serves until the context ends.
func run(ctx context.Context, addr string) error {
	service, err := newService(ctx)
	if err != nil {
		return err
	}
	defer service.close()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	return service.realtime.Serve(ctx, listener, &http.Server{Handler: service.handler})
}

// service is the board, its manager and its server.
type service struct {
	manager  *sharedata.Manager
	realtime *realtime.Server
	handler  http.Handler
}

func newService(ctx context.Context) (*service, error) {
	manager, err := sharedata.NewManager(nil) // in memory: a restart begins with an empty board
	if err != nil {
		return nil, err
	}
	if _, err := manager.Create(ctx, "board", newBoard(), functions...); err != nil {
		return nil, errors.Join(err, manager.Close())
	}
	server, err := realtime.NewServer(manager, &realtime.Options{
		Authenticate: authenticate,
		// Everybody may see who proposed what, also what was rejected.
		AuthorizeActivity: func(context.Context, *sharedata.Caller, string) error { return nil },
	})
	if err != nil {
		return nil, errors.Join(err, manager.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/realtime", server)
	mux.Handle("/realtime/", server)
	mux.Handle("/safe.js", js.Handler())
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	return &service{manager, server, mux}, nil
}

func (s *service) close() error { return errors.Join(s.realtime.Close(), s.manager.Close()) }

// authenticate takes the token for the name of the caller. It believes everybody; a real
// service verifies the token, as package realtime/auth does.
func authenticate(r *http.Request) (*sharedata.Caller, error) {
	name := r.URL.Query().Get("token")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		name = bearer
	}
	if name == "" || len(name) > 40 {
		return nil, errors.New("a name has 1 to 40 bytes")
	}
	return &sharedata.Caller{Subject: name}, nil
}

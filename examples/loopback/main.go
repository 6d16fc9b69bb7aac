// Command loopback is a tour of the framework on one machine: it starts a server on
// a free port, connects two clients, and prints what it does and what they receive.
//
//	go run ./examples/loopback
//
// Its exit status is 1 if anything is not as promised.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// timeout bounds the whole tour.
const timeout = 10 * time.Second

// window is the replay window of the server. It is small, so that the tour can miss
// more than that.
const window = 5

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\nNOT AS PROMISED:", err)
		os.Exit(1)
	}
	fmt.Println("\nEverything was as promised.")
}

// run starts the service, runs the steps of the tour, and stops everything.
func run(ctx context.Context) (err error) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		return err
	}
	defer manager.Close()
	server, err := realtime.NewServer(manager, &realtime.Options{ReplayWindow: window})
	if err != nil {
		return err
	}
	defer server.Close()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/realtime", server)
	httpServer := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	defer func() {
		httpServer.Close()
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
	}()

	t := &tour{
		manager: manager,
		server:  server,
		url:     fmt.Sprintf("ws://%s/realtime", listener.Addr()),
	}
	defer t.close()
	for number, step := range t.steps() {
		fmt.Printf("\n%d. %s\n", number+1, step.title)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("step %d (%s): %w", number+1, step.title, err)
		}
	}
	return nil
}

// tour has what the steps share.
type tour struct {
	manager *sharedata.Manager
	server  *realtime.Server
	url     string

	first, second             *client.Client
	firstEvents, secondEvents *client.Subscription
	network                   network // of the second client
	oldCursor                 string  // a position before the replay window at the end of the tour
}

type step struct {
	title string
	run   func(context.Context) error
}

func (t *tour) steps() []step {
	return []step{
		{"Create a ShareData", t.create},
		{"Connect two clients", t.connect},
		{"Subscribe: the state comes first", t.subscribe},
		{"Propose: the function accepts or rejects", t.propose},
		{"Both clients receive every verdict, in order", t.watch},
		{"Ping", t.ping},
		{"Propose twice with one idempotency key: it takes effect once", t.repeat},
		{"Cut a connection, propose meanwhile, and catch up", t.cut},
		{"Change one number of a large state, and resume without the state", t.largeState},
		{"Resume from a cursor that is too old: a gap is reported", t.gap},
		{"Subscribe to an unknown ShareData: an error, and the client lives on", t.unknown},
		{"Update the state without a function", t.update},
		{"Verify the history", t.verify},
		{"Remove the ShareData: the subscriptions end", t.remove},
		{"Shut down gracefully", t.shutdown},
	}
}

// close closes the clients, whichever step the tour ended in.
func (t *tour) close() {
	for _, c := range []*client.Client{t.first, t.second} {
		if c != nil {
			c.Close()
		}
	}
}

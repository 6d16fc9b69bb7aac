// Command loopback walks through the whole surface of the framework on one
// machine: it starts a server on a free loopback port, connects two clients,
// and says what it does and sees.
//
//	go run ./examples/loopback
//
// It ends with exit status 1 if anything is not as promised.
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

// patience bounds the whole tour.
const patience = 10 * time.Second

// window is the server's replay window. It is small so that the tour can step
// out of it.
const window = 5

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\nNOT AS PROMISED:", err)
		os.Exit(1)
	}
	fmt.Println("\nEverything was as promised.")
}

// run sets the scene, walks through the steps, and clears up.
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
		if err := step.walk(ctx); err != nil {
			return fmt.Errorf("step %d (%s): %w", number+1, step.title, err)
		}
	}
	return nil
}

// tour is what the steps share.
type tour struct {
	manager *sharedata.Manager
	server  *realtime.Server
	url     string

	first, second             *client.Client
	firstEvents, secondEvents *client.Subscription
	line                      line   // the second client's, which can be cut
	oldCursor                 string // of a position that the tour leaves behind
}

type step struct {
	title string
	walk  func(context.Context) error
}

func (t *tour) steps() []step {
	return []step{
		{"Create a ShareData", t.create},
		{"Connect two clients", t.connect},
		{"Subscribe: the state comes first", t.subscribe},
		{"Propose: the function accepts or rejects", t.propose},
		{"Both clients have seen every verdict, in order", t.watch},
		{"Ping", t.ping},
		{"Propose twice under one idempotency key: it takes effect once", t.repeat},
		{"Cut a connection, go on meanwhile, and catch up", t.cut},
		{"Resume from a cursor that is too old: a gap, and told so", t.gap},
		{"Update the state wholesale", t.update},
		{"Verify the history", t.verify},
		{"Remove the ShareData: the subscriptions end", t.remove},
		{"Shut down gently", t.shutdown},
	}
}

// close ends what the tour still holds, wherever it ended.
func (t *tour) close() {
	for _, c := range []*client.Client{t.first, t.second} {
		if c != nil {
			c.Close()
		}
	}
}

// Command broker is a server of events for pages: users log in and insert events, each
// event is published at its time over server-sent events, and a new page is first sent the
// newest event of each name. README.md has the protocol by example.
//
//	go run ./examples/broker -dev
//	SAVE_PATH=./tmp/broker_data broker -port 8080 -origin http://localhost:3000 -expiry 3600 -secret secret
//
// Its first line on standard output is "listening on http://HOST:PORT". SIGINT and SIGTERM
// shut it down gracefully.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed" // for tryOut
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

type config struct {
	host                  string // empty: all addresses
	port                  int
	origin, secret, store string
	expiry                int // of tokens, in seconds
	attempts              int // of passwords, per minute
	bcryptCost            int
	dev                   bool
}

// parse reads the flags and SAVE_PATH, and fills in what -dev leaves out.
func parse(args []string, savePath string, out io.Writer) (config, error) {
	c := config{attempts: 30, bcryptCost: 10}
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&c.port, "port", 8080, "`port` to listen on; 0 takes a free one")
	flags.StringVar(&c.origin, "origin", "", "`origin` of the pages that may connect (CORS), such as http://localhost:3000")
	flags.IntVar(&c.expiry, "expiry", 3600, "how many `seconds` a token is good for")
	flags.StringVar(&c.secret, "secret", "", "`secret` that signs the tokens")
	flags.StringVar(&c.store, "store", "", "where everything is kept: mem:, bolt:FILE, or redis://HOST:PORT, which processes share; default: the file SAVE_PATH")
	flags.BoolVar(&c.dev, "dev", false, "try it: listen on this machine only; by default in memory, with a random secret, for pages of http://localhost:3000")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if savePath != "" {
		c.store = cmp.Or(c.store, "bolt:"+savePath)
	}
	if c.dev {
		c.host = "127.0.0.1"
		c.origin, c.store, c.secret = cmp.Or(c.origin, "http://localhost:3000"), cmp.Or(c.store, "mem:"), cmp.Or(c.secret, rand.Text())
	}
	switch {
	case flags.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q; flags begin with -", flags.Arg(0))
	case c.store == "":
		return c, errors.New("set SAVE_PATH to the file that keeps everything, or -store; or try -dev")
	case c.secret == "":
		return c, errors.New("-secret signs the tokens: use a long random text, for example that of: openssl rand -base64 32; or try -dev")
	case !isOrigin(c.origin):
		return c, fmt.Errorf("-origin %q: use the scheme, host and port of the pages, such as http://localhost:3000; there is no wildcard", c.origin)
	case c.expiry < 1 || c.expiry > 10*365*24*3600:
		return c, fmt.Errorf("-expiry %d: use 1 second to ten years", c.expiry)
	}
	return c, nil
}

// isOrigin reports whether a text is an origin as browsers send it, and no pattern.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != "" && text == u.Scheme+"://"+u.Host && !strings.ContainsAny(text, `*?\`)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := parse(os.Args[1:], os.Getenv("SAVE_PATH"), os.Stderr)
	if err == nil {
		err = run(ctx, c, os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "broker:", err)
		os.Exit(1)
	}
}

// tryOut is what -dev prints.
//
//go:embed tryout.txt
var tryOut string

// run serves until the context ends, and then shuts down gracefully.
func run(ctx context.Context, c config, out io.Writer, logger *slog.Logger) error {
	return withBroker(ctx, c, logger, func(b *broker) error {
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", c.host, c.port))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "listening on http://%s\n", listener.Addr())
		if c.dev {
			fmt.Fprint(out, strings.ReplaceAll(tryOut, "http://127.0.0.1:8080", "http://"+listener.Addr().String()))
		}
		return b.realtime.Serve(ctx, listener, &http.Server{Handler: b.handler()})
	})
}

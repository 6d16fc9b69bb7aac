// Command turbine serves the protocol of Turbine, a publish-subscribe server: commands over
// WebSocket at /ws, publications by POST /api/publish. README.md describes the protocol and
// what is different here: subscribers recover what they missed, also after a restart.
//
//	go run ./examples/turbine -dev
//
// Its first line on standard output is "listening on http://HOST:PORT"; what to try follows.
// SIGINT and SIGTERM shut it down gracefully.
package main

import (
	"cmp"
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
)

// Environment variables, and what the first two are with -dev.
const (
	secretVariable = "TURBINE_JWT_SECRET"
	keyVariable    = "TURBINE_API_KEY"
	urlVariable    = "NATS_URL"
	prefixVariable = "NATS_PREFIX"

	devSecret = "devsecret"
	devKey    = "devkey"
)

// config is what flags and the environment say.
type config struct {
	addr             string
	dev              bool
	store            string
	window           int    // publications that can be recovered
	maxSubscriptions int    // of a session
	maxWaiting       int    // messages for a session
	slow             string // slowClose or slowConflate
	secret, key      string
	natsURL          string // empty: nothing is forwarded
	natsPrefix       string
}

// What is done about a session for which more than maxWaiting messages wait.
const (
	slowClose    = "close"
	slowConflate = "conflate"
)

func main() {
	c, err := parse(os.Args[1:], os.LookupEnv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "turbine:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, c, os.Stdout, logger); err != nil {
		logger.Error("turbine ended", "error", err)
		os.Exit(1)
	}
}

// parse reads flags and the environment. It refuses to go on without secrets.
func parse(args []string, lookUp func(string) (string, bool), help io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("turbine", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.StringVar(&c.addr, "addr", "", "`host:port` to listen on; default: 0.0.0.0:8080, and 127.0.0.1:8080 with -dev")
	flags.BoolVar(&c.dev, "dev", false, "use the secrets that everybody knows where the environment has none: "+secretVariable+"="+devSecret+", "+keyVariable+"="+devKey)
	flags.StringVar(&c.store, "store", "mem:", "`STORE` that keeps publications: mem:, bolt:FILE or redis://HOST:PORT, which several nodes may share")
	flags.IntVar(&c.window, "window", 1000, "`number` of publications of a channel that can be recovered")
	flags.IntVar(&c.maxSubscriptions, "max-subscriptions", 64, "`number` of channels that a session may subscribe to")
	flags.IntVar(&c.maxWaiting, "max-waiting", 256, "`number` of messages that may wait for a session")
	flags.StringVar(&c.slow, "slow", slowClose, "what happens to a session for which more messages wait: `close`, upon which it can recover, or conflate: it gets the latest publication and how many were left out")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.secret, _ = lookUp(secretVariable)
	c.key, _ = lookUp(keyVariable)
	if c.dev {
		c.secret, c.key = cmp.Or(c.secret, devSecret), cmp.Or(c.key, devKey)
		c.addr = cmp.Or(c.addr, "127.0.0.1:8080")
	}
	c.addr = cmp.Or(c.addr, "0.0.0.0:8080")
	c.natsURL, c.natsPrefix = "nats://127.0.0.1:4222", "turbine"
	if url, found := lookUp(urlVariable); found {
		c.natsURL = url
	}
	if prefix, _ := lookUp(prefixVariable); prefix != "" {
		c.natsPrefix = prefix
	}
	switch {
	case flags.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case c.secret == "" || c.key == "":
		return c, fmt.Errorf("set %s, which signs tokens, and %s, which allows to publish; or try it out with -dev", secretVariable, keyVariable)
	case c.window < 1 || c.maxSubscriptions < 1 || c.maxWaiting < 1:
		return c, errors.New("-window, -max-subscriptions and -max-waiting: use positive numbers")
	case c.slow != slowClose && c.slow != slowConflate:
		return c, fmt.Errorf("-slow %q: use %s or %s", c.slow, slowClose, slowConflate)
	}
	return c, nil
}

// run serves until ctx ends, and then shuts down gracefully.
func run(ctx context.Context, c config, out io.Writer, logger *slog.Logger) error {
	s, err := newService(c, logger)
	if err != nil {
		return err
	}
	defer s.close()
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	if err := printGuide(out, c, listener.Addr().String()); err != nil {
		logger.Warn("there is no guide", "error", err)
	}
	return s.realtime.Serve(ctx, listener, &http.Server{Handler: s.handler()})
}

// printGuide says where the server listens and what to try.
func printGuide(out io.Writer, c config, addr string) (err error) {
	fmt.Fprintf(out, "listening on http://%s\n", addr)
	token, key := "TOKEN", "$"+keyVariable
	if c.dev && c.secret == devSecret {
		if token, err = devToken(time.Now().Add(24 * time.Hour)); err != nil {
			return err
		}
	}
	if c.dev && c.key == devKey {
		key = devKey
	}
	_, err = fmt.Fprintf(out, `try, in one terminal:
  websocat ws://%[1]s/ws
  {"id":1,"method":"connect","params":{"token":"%[2]s"}}
  {"id":2,"method":"subscribe","params":{"channel":"chat:lobby"}}
and in another:
  curl http://%[1]s/api/publish -H 'x-api-key: %[3]s' -H 'Content-Type: application/json' -d '{"channel":"chat:lobby","data":{"text":"hello world"}}'
`, addr, token, key)
	return err
}

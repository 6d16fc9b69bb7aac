// Command turbine serves the protocol of Turbine, a publish-subscribe server: commands over
// WebSocket at /ws, publications by POST /api/publish. README.md describes the protocol and
// what is different here: subscribers recover what they missed, also after a restart.
//
//	go run ./examples/turbine -dev
//
// Its first line on standard output is "listening on http://HOST:PORT"; with -dev, what to
// try follows. SIGINT and SIGTERM shut it down gracefully.
//
// A channel is a ShareData, and each publication to it a transaction: channel.go. Which
// session is sent what, and from where on, is the work of package realtime: commands.go
// turns commands into subscriptions, message.go turns what happens to these into messages.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Environment variables, and the values of the first two with -dev.
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
	slow             string // when more wait: close or conflate
	secret, key      string
	natsURL          string // empty: nothing is forwarded
	natsPrefix       string
}

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

// parse reads flags and the environment. It fails where there are no secrets.
func parse(args []string, lookUp func(string) (string, bool), help io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("turbine", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.StringVar(&c.addr, "addr", "", "`host:port` to listen on; default: 0.0.0.0:8080, and 127.0.0.1:8080 with -dev")
	flags.BoolVar(&c.dev, "dev", false, "try it out: where the environment has no secrets, "+secretVariable+"="+devSecret+" and "+keyVariable+"="+devKey)
	flags.StringVar(&c.store, "store", "mem:", "`STORE` that keeps publications: mem:, bolt:FILE or redis://HOST:PORT, which several nodes may share")
	flags.IntVar(&c.window, "window", 1000, "`number` of publications of a channel that can be recovered")
	flags.IntVar(&c.maxSubscriptions, "max-subscriptions", 64, "`number` of channels that a session may subscribe to")
	flags.IntVar(&c.maxWaiting, "max-waiting", 256, "`number` of messages that may wait for a session")
	flags.StringVar(&c.slow, "slow", "close", "what happens to a session for which more messages wait: `close`, upon which it can recover, or conflate: it gets the latest publication and how many were left out")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.secret, _ = lookUp(secretVariable)
	c.key, _ = lookUp(keyVariable)
	c.natsPrefix, _ = lookUp(prefixVariable)
	c.natsPrefix = cmp.Or(c.natsPrefix, "turbine")
	c.natsURL = "nats://127.0.0.1:4222"
	if url, found := lookUp(urlVariable); found {
		c.natsURL = url
	}
	if c.dev {
		c.secret, c.key = cmp.Or(c.secret, devSecret), cmp.Or(c.key, devKey)
		c.addr = cmp.Or(c.addr, "127.0.0.1:8080")
	}
	c.addr = cmp.Or(c.addr, "0.0.0.0:8080")
	switch {
	case flags.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case c.secret == "" || c.key == "":
		return c, fmt.Errorf("set %s, which signs tokens, and %s, which allows to publish; or try it out with -dev", secretVariable, keyVariable)
	case c.window < 1 || c.maxSubscriptions < 1 || c.maxWaiting < 1:
		return c, errors.New("-window, -max-subscriptions and -max-waiting: use positive numbers")
	case c.slow != "close" && c.slow != "conflate":
		return c, fmt.Errorf("-slow %q: use close or conflate", c.slow)
	}
	return c, nil
}

// printGuide says what to try at an address with the secrets of -dev.
func printGuide(out io.Writer, addr string) {
	fmt.Fprintf(out, `try, in one terminal:
  websocat ws://%[1]s/ws
  {"id":1,"method":"connect","params":{"token":"%[2]s"}}
  {"id":2,"method":"subscribe","params":{"channel":"chat:lobby"}}
and in another:
  curl http://%[1]s/api/publish -H 'x-api-key: %[3]s' -H 'Content-Type: application/json' -d '{"channel":"chat:lobby","data":{"text":"hello world"}}'
`, addr, newDevToken(time.Now().Add(24*time.Hour)), devKey)
}

// Command load puts a deployment under load, measures it, and checks on every subscriber
// that each revision arrives exactly once and in order.
//
//	go run ./examples/load -subscribers 1000 -rate 200 -duration 30s
//
// README.md says what the numbers mean. Without flags, a hundred subscribers of the
// ShareData "doc" of examples/server run for ten seconds. The exit code is 1 if a
// promise was broken, and 2 if the run could not be made.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type config struct {
	url         string
	token       string
	transport   string
	patches     bool
	shareData   string
	count       int
	create      bool
	function    string
	data        string
	payload     int
	subscribers int
	stalled     int
	proposers   int
	rate        float64
	window      int
	ramp        float64
	warmUp      time.Duration
	duration    time.Duration
	drain       time.Duration
	hold        bool
	json        bool
}

// parse reads the flags; what is wrong with them goes to out.
func parse(args []string, out io.Writer) (c config, err error) {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&c.url, "url", "ws://127.0.0.1:8080/realtime", "`URL` of the realtime endpoint: ws, wss, http or https")
	flags.StringVar(&c.token, "token", "", "the `token` that the deployment requires, if any")
	flags.StringVar(&c.transport, "transport", "ws", "`ws`, or sse: proposals then go by POST")
	flags.BoolVar(&c.patches, "patches", false, "whether subscribers ask for patches instead of states")
	flags.StringVar(&c.shareData, "sharedata", "doc", "`id` of the ShareData, or with -count what the ids begin with")
	flags.IntVar(&c.count, "count", 0, "`number` of ShareData, <id>-0 and so on; 0: the one of -sharedata")
	flags.BoolVar(&c.create, "create", false, "create the ShareData that do not exist, by the administration of examples/server")
	flags.StringVar(&c.function, "function", "set", "`id` of the function that is proposed")
	flags.StringVar(&c.data, "data", "", "`JSON` to propose; "+stampPlace+" in it becomes the time stamp, to be the member sentAt of the state; default: an object of -payload bytes with it")
	flags.IntVar(&c.payload, "payload", 128, "`bytes` of the proposed data")
	flags.IntVar(&c.subscribers, "subscribers", 100, "`number` of connections that subscribe to one ShareData each")
	flags.IntVar(&c.stalled, "stalled", 0, "`percent` of the subscribers that stop reading when the measurement begins")
	flags.IntVar(&c.proposers, "proposers", 1, "`number` of proposers, each with a connection of its own")
	flags.Float64Var(&c.rate, "rate", 100, "proposals per `second`, of all proposers together; 0: as many as -window allows")
	flags.IntVar(&c.window, "window", 16, "`number` of proposals that each proposer may have in flight")
	flags.Float64Var(&c.ramp, "ramp", 1000, "connections opened per `second`")
	flags.DurationVar(&c.warmUp, "warmup", time.Second, "`time` under load before the measurement")
	flags.DurationVar(&c.duration, "duration", 10*time.Second, "`time` of the measurement")
	flags.DurationVar(&c.drain, "drain", 10*time.Second, "longest `time` to wait for the last results and deliveries")
	flags.BoolVar(&c.hold, "hold", false, "subscribe, wait for a line on standard input, propose once to each ShareData, and report who received it")
	flags.BoolVar(&c.json, "json", false, "print the report as a JSON document")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if c.hold {
		c.proposers, c.warmUp = 1, 0
	}
	if c.data == "" {
		c.data = proposalData(c.payload)
	}
	_, err = newEndpoint(c.url, c.token)
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case err != nil:
	case c.transport != "ws" && c.transport != "sse":
		err = fmt.Errorf("-transport %q: use ws or sse", c.transport)
	case c.subscribers < 0 || c.proposers < 0 || c.subscribers+c.proposers == 0:
		err = errors.New("-subscribers and -proposers: at least one of them must be positive, and none negative")
	case c.stalled < 0 || c.stalled > 100:
		err = fmt.Errorf("-stalled %d: use 0 to 100 percent", c.stalled)
	case c.shareData == "" || c.count < 0:
		err = errors.New("-sharedata needs an id, and -count a number that is not negative")
	case c.window < 1:
		err = fmt.Errorf("-window %d: at least one proposal must be in flight", c.window)
	case c.rate != 0 && !possibleRate(c.rate):
		err = fmt.Errorf("-rate %v: use 0, or 0.001 to 1,000,000 proposals per second", c.rate)
	case !possibleRate(c.ramp):
		err = fmt.Errorf("-ramp %v: use 0.001 to 1,000,000 connections per second", c.ramp)
	case c.warmUp < 0 || c.duration <= 0 || c.drain <= 0:
		err = errors.New("-duration and -drain must be positive, and -warmup not negative")
	case !json.Valid([]byte(filled(c.data, 0))):
		err = fmt.Errorf("-data %q: not JSON, also with a number for %s", c.data, stampPlace)
	}
	if err != nil {
		fmt.Fprintln(out, "load:", err)
	}
	return c, err
}

// possibleRate is false for NaN too.
func possibleRate(perSecond float64) bool { return perSecond >= 0.001 && perSecond <= 1e6 }

func (c *config) shareDataIDs() []string {
	if c.count == 0 {
		return []string{c.shareData}
	}
	ids := make([]string, c.count)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", c.shareData, i)
	}
	return ids
}

func main() {
	os.Exit(load(os.Args[1:]))
}

// load returns the exit code.
func load(args []string) int {
	c, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	// An interrupt ends the load early; what was measured until then is reported.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := newRun(c)
	var result *report
	if err == nil {
		result, err = r.execute(ctx, os.Stdin, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		return 2
	}
	if c.json {
		_ = json.NewEncoder(os.Stdout).Encode(result) // standard output may be closed
	} else {
		result.table(os.Stdout)
	}
	if result.broken() {
		return 1
	}
	return 0
}

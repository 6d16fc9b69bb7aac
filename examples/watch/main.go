// Command watch prints what happens to a ShareData, also across restarts of its
// server, and proposes to it.
//
//	go run ./examples/watch counter                   # print events, until interrupted
//	go run ./examples/watch counter add '{"by":1}'    # propose, and print the verdict
//
// It shows what a transaction changed, where the server says so; -patches=false asks for
// whole states. With -activity it shows what others proposed, if the server allows
// it, and with -conflate a slow connection skips events.
//
// With -proof-key it proves proposals, as a server with -require-proof demands.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/safe-go/safe/client"
)

func main() {
	url := flag.String("url", "ws://127.0.0.1:8080/realtime", "`URL` of the WebSocket endpoint")
	token := flag.String("token", "", "the `token` that the server requires, if any")
	patches := flag.Bool("patches", true, "show what changed instead of whole states, where the server says it")
	activity := flag.Bool("activity", false, "show when, by whom and with what changes were proposed")
	conflate := flag.Bool("conflate", false, "skip events that the connection is too slow for")
	proofKey := flag.String("proof-key", "", "`FILE` with the private key (a JWK) that proves proposals of the token's owner")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: watch [flags] SHAREDATA [FUNCTION DATA]")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What the events do not show, such as why there is no connection yet.
	options := client.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if !*patches {
		options.KeptStateBytes = -1
	}
	if *token != "" {
		options.Token = client.StaticToken(*token)
	}
	prove, err := newProver(*proofKey, *token)
	switch args := flag.Args(); {
	case err != nil:
	case len(args) == 1:
		err = watch(ctx, *url, &options, args[0], client.SubscribeOptions{Activity: *activity, Conflate: *conflate}, os.Stdout)
	case len(args) == 3:
		err = propose(ctx, *url, &options, client.Proposal{ShareDataID: args[0], FunctionID: args[1], Data: json.RawMessage(args[2]), Prove: prove}, os.Stdout)
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		if errors.Is(err, client.ErrUnauthorized) && *token == "" {
			fmt.Fprintln(os.Stderr, "watch: the server requires a token; use -token")
		}
		os.Exit(1)
	}
}

// watch prints events until ctx ends or the ShareData is removed.
func watch(ctx context.Context, url string, options *client.Options, shareDataID string, subscribe client.SubscribeOptions, out io.Writer) error {
	c, err := client.New(url, options) // connects in the background
	if err != nil {
		return err
	}
	defer c.Close()
	for event, err := range c.SubscribeWith(shareDataID, subscribe).Events(ctx) {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(out, describe(event))
	}
	return nil
}

// propose proposes once and prints the verdict.
func propose(ctx context.Context, url string, options *client.Options, proposal client.Proposal, out io.Writer) error {
	c, err := client.New(url, options)
	if err != nil {
		return err
	}
	defer c.Close()
	if proposal.Prove != nil {
		defer c.Subscribe(proposal.ShareDataID).Close() // a proof names the position
	}
	result, err := c.ProposeWith(ctx, proposal)
	switch {
	case errors.Is(err, client.ErrOutcomeUnknown):
		return fmt.Errorf("%w; propose again with the key to learn it", err)
	case err != nil:
		return err // nothing happened
	case !result.Accepted:
		fmt.Fprintf(out, "rejected at %s: %s: %s\n", result.TransactionID, result.Code, result.Error)
	default:
		fmt.Fprintf(out, "accepted at %s\n", result.TransactionID)
	}
	return nil
}

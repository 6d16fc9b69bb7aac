// Command audit shows how an auditor, a third party, checks the history of a service that
// it does not trust.
//
//	go run ./examples/audit
//	go run ./examples/audit -entries 1000000
//	go run ./examples/audit -dir DIR
//	go run ./examples/audit verify -keys DIR/keys.json -checkpoints DIR/checkpoints.txt DIR/export.jsonl
//
// The first makes a history, tampers with its export in every way, and prints what the
// auditor finds. -entries also makes a history of that length and shows how long it
// takes to check. -dir keeps the files. verify checks files.
//
// The exit status is 1 if an export is invalid, or a tampering is not detected.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

// run does what the arguments say.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "verify" {
		return verifyFiles(args[1:], out)
	}
	flags := flag.NewFlagSet("audit", flag.ContinueOnError)
	entries := flags.Int("entries", 0, "also make and check a history of this `number` of entries")
	dir := flags.String("dir", "", "`folder` in which the files are kept; without it they are removed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; the only command is verify", flags.Arg(0))
	}
	folder := *dir
	if folder == "" {
		temporary, err := os.MkdirTemp("", "audit")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		folder = temporary
	} else if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := demonstrate(ctx, folder, out); err != nil {
		return err
	}
	if *entries > 0 {
		return measure(ctx, folder, *entries, out)
	}
	return nil
}

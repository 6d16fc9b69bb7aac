package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/sharedata/audit"
)

// auditorOptions returns the options of an auditor with the service's keys and collected
// checkpoints.
func auditorOptions(folder string) (*audit.Options, error) {
	options := &audit.Options{ShareDataID: cashRegister, RequireStart: true}
	return options, errors.Join(
		readKeys(options, filepath.Join(folder, keysFile)),
		readCheckpoints(options, filepath.Join(folder, checkpointsFile)),
	)
}

func readKeys(options *audit.Options, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if options.Keys, err = jwk.Parse(text); err != nil {
		return fmt.Errorf("%s is not a JSON Web Key Set: %w", name, err)
	}
	return nil
}

func readCheckpoints(options *audit.Options, name string) error {
	text, err := os.ReadFile(name)
	options.Checkpoints = strings.Fields(string(text))
	return err
}

// verifyFiles is the command verify.
func verifyFiles(args []string, out io.Writer) error {
	options := &audit.Options{}
	flags := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	keys := flags.String("keys", "", "`file` with the public keys of the service, a JSON Web Key Set")
	checkpoints := flags.String("checkpoints", "", "`file` with checkpoints that the service gave away before, one in each line")
	flags.StringVar(&options.ShareDataID, "id", "", "the ShareData that the export must be of")
	flags.BoolVar(&options.RequireStart, "require-start", false, "refuse an export that does not begin with the first entry")
	flags.BoolVar(&options.RequireFinal, "require-final", false, "refuse an export that does not end with a checkpoint")
	flags.BoolVar(&options.AllowTrimmed, "allow-trimmed", false, "accept checkpoints of entries before the start of the export")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one export to verify")
	}
	if *keys != "" {
		if err := readKeys(options, *keys); err != nil {
			return err
		}
	}
	if *checkpoints != "" {
		if err := readCheckpoints(options, *checkpoints); err != nil {
			return err
		}
	}
	return verifyFile(flags.Arg(0), options, out)
}

// verifyFile verifies an export and prints what was found.
func verifyFile(name string, options *audit.Options, out io.Writer) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	start := time.Now()
	report, err := audit.Verify(file, options)
	took := time.Since(start)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	chain := report.Chain
	fmt.Fprintf(out, "%d entries of %q, %s to %s, are unbroken (%.2f s, %.0f entries a second)\n",
		report.Entries, chain.ShareDataID, chain.First, chain.Last, took.Seconds(), float64(report.Entries)/took.Seconds())
	if report.Newest.Cursor.IsZero() {
		fmt.Fprintln(out, "no checkpoint was checked: without checkpoints, truncation and a full rewrite stay unnoticed")
		return nil
	}
	fmt.Fprintf(out, "%d checkpoints in the export and %d others agree; the newest, of %s, is of the entry at %s\n",
		report.CheckpointsInExport, report.CheckpointsMatched, report.Newest.Time.Format(time.RFC3339), report.Newest.Cursor)
	return nil
}

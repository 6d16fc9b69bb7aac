package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/safe-go/safe/sharedata/audit"
)

// demonstrate makes and exports a history, and tampers with the export.
func demonstrate(ctx context.Context, folder string, out io.Writer) error {
	if err := os.Remove(filepath.Join(folder, checkpointsFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s, err := newService(ctx, folder)
	if err != nil {
		return err
	}
	defer s.manager.Close()
	for _, sales := range [][]sale{
		{{"bread", 3}, {"milk", 2}, {"nothing", 0}, {"cheese", 5}, {"apples", 4}},
		{{"bread", 3}, {"tea", 6}, {"honey", 7}, {"milk", 2}},
	} {
		if err := s.workDay(ctx, sales); err != nil {
			return err
		}
	}
	if err := s.export(ctx); err != nil {
		return err
	}

	options, err := auditorOptions(folder)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "The export of the service:")
	if err := verifyFile(filepath.Join(folder, exportFile), options, out); err != nil {
		return err
	}
	export, err := os.ReadFile(filepath.Join(folder, exportFile))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nTampered with:")
	for _, t := range tamperings() {
		lines := t.change(slices.Collect(strings.Lines(string(export))))
		_, err := audit.Verify(strings.NewReader(strings.Join(lines, "")), options)
		if err == nil {
			return fmt.Errorf("tampering not detected: %s", t.name)
		}
		fmt.Fprintf(out, "- %s\n  %v\n", t.name, err)
	}
	return nil
}

// measure shows how long it takes to make, export and check a history of n entries.
func measure(ctx context.Context, folder string, n int, out io.Writer) error {
	folder = filepath.Join(folder, "long")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	s, err := newService(ctx, folder)
	if err != nil {
		return err
	}
	defer s.manager.Close()
	start := time.Now()
	if err := s.exportMany(ctx, n); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(folder, exportFile))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nA history of %d entries, %d MB, made and exported in %.1f s:\n", n, info.Size()/1e6, time.Since(start).Seconds())
	options := &audit.Options{ShareDataID: cashRegister, RequireStart: true, RequireFinal: true}
	if err := readKeys(options, filepath.Join(folder, keysFile)); err != nil {
		return err
	}
	return verifyFile(filepath.Join(folder, exportFile), options, out)
}

package torture

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/safe-go/safe/internal/checker"
)

// Report is the result of a run.
type Report struct {
	// Options are those of the run, with defaults.
	Options Options
	// Took is the duration from the first action of a client to the end.
	Took time.Duration
	// Faults counts the injected faults.
	Faults map[Fault]int
	// Connections counts the connections of clients.
	Connections int
	// Moves counts how often a client was sent to another server, Restarts how often
	// a Go client was restarted with its cursors.
	Moves, Restarts int
	// StreamFrames counts the frames in event streams, Posts the verdicts of proposals
	// by POST.
	StreamFrames, Posts int
	// Summary counts what was recorded.
	Summary checker.Summary
	// Violations are the promises that were broken; none, if all is well.
	Violations checker.Violations
	// Late names the subscriptions that were not current at the end.
	Late []string
	// Stored is the error of verifying what is left in the store; nil if it is intact.
	Stored error
}

// String returns the report for people.
func (r *Report) String() string {
	var text strings.Builder
	o := r.Options
	fmt.Fprintf(&text, "seed %d: %d processes on %s, %d clients, %v\n", o.Seed, o.Processes, o.Store, o.Clients, r.Took.Round(time.Millisecond))
	total := 0
	var faults []string
	for _, f := range slices.Sorted(maps.Keys(r.Faults)) {
		total += r.Faults[f]
		faults = append(faults, fmt.Sprintf("%d %s", r.Faults[f], f))
	}
	fmt.Fprintf(&text, "  faults: %d (%s)\n", total, strings.Join(faults, ", "))
	s := r.Summary
	for _, figure := range []struct {
		name  string
		value int
	}{
		{"proposals", s.Proposals}, {"accepted", s.Accepted}, {"rejected", s.Rejected}, {"refused", s.Refused},
		{"without a result", s.Unanswered}, {"duplicates", s.Duplicates}, {"updates and creations", s.Administered},
		{"live frames", s.Live}, {"states", s.States}, {"connections", r.Connections}, {"reconnects", r.Connections - o.Clients},
		{"frames in event streams", r.StreamFrames}, {"verdicts of POST", r.Posts},
		{"clients moved", r.Moves}, {"clients restarted", r.Restarts}, {"resumed", s.Resumed}, {"entries replayed", s.Replayed},
		{"states left out", s.LeftOut}, {"states computed by patches", s.Patched}, {"skips", s.Skips},
		{"gaps", s.Gaps}, {"removals", s.Removals}, {"fell behind", s.FellBehind},
		{"histories", s.Histories}, {"entries checked", s.Entries},
	} {
		fmt.Fprintf(&text, "  %-32s %d\n", figure.name, figure.value)
	}
	verdict := "no promise was broken"
	if err := r.Err(); err != nil {
		verdict = err.Error()
	}
	text.WriteString("  " + strings.ReplaceAll(verdict, "\n", "\n  "))
	return text.String()
}

// Err says what is wrong with the run, nil if nothing is.
func (r *Report) Err() error {
	var errs []error
	if len(r.Violations) > 0 {
		errs = append(errs, errors.New(r.Violations.String()))
	}
	if r.Stored != nil {
		errs = append(errs, fmt.Errorf("what is left in the store: %w", r.Stored))
	}
	if len(r.Late) > 0 {
		errs = append(errs, fmt.Errorf("not current after %v: %v", r.Options.QuiesceTimeout, r.Late[:min(len(r.Late), 10)]))
	}
	return errors.Join(errs...)
}

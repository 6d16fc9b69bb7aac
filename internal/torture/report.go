package torture

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/safe-go/safe/internal/checker"
)

// Report is what came of a run.
type Report struct {
	// Options are those of the run, with the defaults filled in.
	Options Options
	// Took is how long it took from the first client's first action to the end.
	Took time.Duration
	// Faults counts those that were injected.
	Faults map[Fault]int
	// Connections counts those that clients have made.
	Connections int
	// Moves counts how often a client was sent to a server, and Restarts how
	// often a user began anew with the cursors of before.
	Moves, Restarts int
	// Summary counts what was recorded.
	Summary checker.Summary
	// Violations are the promises that were broken; none, if all is well.
	Violations checker.Violations
	// Late names who had not got to the end when the time was over.
	Late []string
	// Examined is what is wrong with what the store kept; nil if nothing is.
	Examined error
}

// String is the report for people.
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
		{"without an answer", s.Unanswered}, {"duplicates", s.Duplicates}, {"updates and creations", s.Administered},
		{"live frames", s.Live}, {"states", s.States}, {"connections", r.Connections}, {"reconnects", r.Connections - o.Clients},
		{"clients moved", r.Moves}, {"users restarted", r.Restarts}, {"resumed", s.Resumed}, {"entries replayed", s.Replayed},
		{"gaps told", s.Gaps}, {"removals seen", s.Removals}, {"fell behind", s.FellBehind},
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

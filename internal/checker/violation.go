package checker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Promise names what a violation breaks.
type Promise string

// The promises; the package documentation says what each means.
const (
	Ordered             Promise = "ordered"
	Gapless             Promise = "gapless"
	Once                Promise = "once"
	NeverInterleaved    Promise = "never interleaved"
	Resumable           Promise = "resumable"
	CommittedBeforeSeen Promise = "committed before seen"
	InSync              Promise = "in sync"
	OneWinner           Promise = "one winner"
	OnceOnly            Promise = "once only"
	Auditable           Promise = "auditable"
	Complete            Promise = "complete"
	// Recorded is a promise of the test, not of the system: the recording is
	// complete.
	Recorded Promise = "recorded"
)

var promises = []Promise{
	Ordered, Gapless, Once, NeverInterleaved, Resumable, CommittedBeforeSeen, InSync,
	OneWinner, OnceOnly, Auditable, Complete, Recorded,
}

// Violation is one promise that was broken in one place.
type Violation struct {
	Promise   Promise
	ShareData string
	// Subscriber is the name of the subscriber or proposer that saw it; empty where
	// the history itself is wrong.
	Subscriber string
	// Where is the place in the records of Subscriber, or in the history.
	Where string
	// Explanation says what is wrong there.
	Explanation string
}

// String returns one line, without the promise.
func (v Violation) String() string {
	subscriber := ""
	if v.Subscriber != "" {
		subscriber = " of " + v.Subscriber
	}
	return fmt.Sprintf("%q%s at %s: %s", v.ShareData, subscriber, v.Where, v.Explanation)
}

// Violations are grouped by promise. At most MaxPerPromise of each are listed.
type Violations []Violation

// MaxPerPromise bounds the violations of one promise that Check returns: one fault
// can have a consequence in every later frame.
const MaxPerPromise = 50

// Of returns the violations of one promise.
func (v Violations) Of(promise Promise) Violations {
	var of Violations
	for _, violation := range v {
		if violation.Promise == promise {
			of = append(of, violation)
		}
	}
	return of
}

// String returns a report: a paragraph for each promise that was broken.
func (v Violations) String() string {
	if len(v) == 0 {
		return "no promise was broken"
	}
	var report strings.Builder
	for _, promise := range promises {
		for i, violation := range v.Of(promise) {
			if i == 0 {
				fmt.Fprintf(&report, "%s:\n", promise)
			}
			fmt.Fprintf(&report, "\t%s\n", violation)
		}
	}
	return strings.TrimSuffix(report.String(), "\n")
}

// tidy sorts by promise, drops repeats, and cuts after MaxPerPromise.
func (v Violations) tidy() Violations {
	slices.SortStableFunc(v, func(a, b Violation) int {
		return cmp.Compare(slices.Index(promises, a.Promise), slices.Index(promises, b.Promise))
	})
	seen := make(map[Violation]bool)
	count := make(map[Promise]int)
	return slices.DeleteFunc(v, func(violation Violation) bool {
		if seen[violation] {
			return true
		}
		seen[violation] = true
		count[violation.Promise]++
		return count[violation.Promise] > MaxPerPromise
	})
}

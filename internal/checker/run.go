package checker

import (
	"fmt"
	"slices"
	"strings"
)

// span is a run of revisions, both ends included.
type span struct{ first, last uint64 }

func (s span) String() string {
	if s.first == s.last {
		return fmt.Sprint(s.first)
	}
	return fmt.Sprintf("%d to %d", s.first, s.last)
}

// run follows revisions of which each ought to be the one after the last.
type run struct {
	last uint64
	// missing are revisions below last that have not come, in order.
	missing []span
}

// order is how a revision fits into a run.
type order int

const (
	inOrder  order = iota // it does, or what it skips may still come
	late                  // it is one that was skipped before
	repeated              // it came before
)

func (r *run) take(revision uint64) order {
	if revision > r.last {
		if revision > r.last+1 {
			r.missing = append(r.missing, span{r.last + 1, revision - 1})
		}
		r.last = revision
		return inOrder
	}
	for i, m := range r.missing {
		if revision < m.first || revision > m.last {
			continue
		}
		var rest []span
		if m.first < revision {
			rest = append(rest, span{m.first, revision - 1})
		}
		if revision < m.last {
			rest = append(rest, span{revision + 1, m.last})
		}
		r.missing = slices.Replace(r.missing, i, i+1, rest...)
		return late
	}
	return repeated
}

func list(spans []span) string {
	var text []string
	for _, s := range spans {
		text = append(text, s.String())
	}
	return strings.Join(text, ", ")
}

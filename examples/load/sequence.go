package main

import "github.com/safe-go/safe/replay"

// maxMissing bounds how many skipped revisions a subscriber remembers, to tell one that
// comes late from one that comes twice.
const maxMissing = 1024

// sequence checks the promises of order and completeness for one subscriber: within an
// epoch, each revision after the one at which the subscription began comes exactly once,
// in order. Its zero value has seen nothing.
type sequence struct {
	at      replay.Cursor // the latest seen
	missing map[uint64]struct{}
	violations
	gaps int64
}

// violations are the ways in which the promises were broken, in revisions.
type violations struct {
	Lost      int64 `json:"lost"`
	Repeated  int64 `json:"repeated"`
	Reordered int64 `json:"reordered"`
}

func (v *violations) add(other violations) {
	v.Lost += other.Lost
	v.Repeated += other.Repeated
	v.Reordered += other.Reordered
}

// begin takes a state after which the entries from base on follow. A base after the
// latest revision seen is a gap: the server says so, which is no violation. A base before
// it changes nothing: what follows are repeats.
func (s *sequence) begin(base replay.Cursor) {
	if s.at.IsZero() {
		s.at = base
	}
	if base.Epoch != s.at.Epoch || base.After(s.at) {
		s.gaps++
		s.at, s.missing = base, nil
	}
}

// observe takes the position of an entry that the subscriber received.
func (s *sequence) observe(p replay.Cursor) {
	switch {
	case p.Epoch != s.at.Epoch: // nothing but a state may lead to another epoch
		s.Lost++
		s.at, s.missing = p, nil
	case p.Revision > s.at.Revision:
		s.skipTo(p.Revision)
		s.at = p
	default:
		if _, late := s.missing[p.Revision]; late {
			delete(s.missing, p.Revision)
			s.Lost--
			s.Reordered++
		} else {
			s.Repeated++
		}
	}
}

// skipTo counts the revisions before next that did not come as lost, until they come.
func (s *sequence) skipTo(next uint64) {
	s.Lost += int64(next - s.at.Revision - 1)
	for skipped := s.at.Revision + 1; skipped < next && len(s.missing) < maxMissing; skipped++ {
		if s.missing == nil {
			s.missing = make(map[uint64]struct{})
		}
		s.missing[skipped] = struct{}{}
	}
}

// end takes the latest position that the server is known to have reached. Whatever the
// subscriber has not seen by then is lost.
func (s *sequence) end(last replay.Cursor) {
	if !s.reached(last) {
		s.skipTo(last.Revision + 1)
	}
}

// reached reports whether nothing up to last is still to come. Of another epoch that
// cannot be said, so the sequence does not wait for it.
func (s *sequence) reached(last replay.Cursor) bool {
	return s.at.Epoch != last.Epoch || s.at.Revision >= last.Revision
}

package main

// maxMissing bounds how many skipped revisions a subscriber remembers, to tell one that
// comes late from one that comes twice.
const maxMissing = 1024

// position is a place in a history: the entry with that revision, in an epoch.
type position struct{ epoch, revision uint64 }

// sequence checks the promises of order and completeness for one subscriber: within an
// epoch, each revision after the one at which the subscription began comes exactly once,
// in order. Its zero value has seen nothing.
type sequence struct {
	at      position // the latest seen
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
func (s *sequence) begin(base position) {
	if s.at == (position{}) {
		s.at = base
	}
	if base.epoch != s.at.epoch || base.revision > s.at.revision {
		s.gaps++
		s.at, s.missing = base, nil
	}
}

// observe takes the position of an entry that the subscriber received.
func (s *sequence) observe(p position) {
	switch {
	case p.epoch != s.at.epoch: // nothing but a state may lead to another epoch
		s.Lost++
		s.at, s.missing = p, nil
	case p.revision > s.at.revision:
		s.skipTo(p.revision)
		s.at = p
	default:
		if _, late := s.missing[p.revision]; late {
			delete(s.missing, p.revision)
			s.Lost--
			s.Reordered++
		} else {
			s.Repeated++
		}
	}
}

// skipTo counts the revisions before next that did not come as lost, until they come.
func (s *sequence) skipTo(next uint64) {
	s.Lost += int64(next - s.at.revision - 1)
	for skipped := s.at.revision + 1; skipped < next && len(s.missing) < maxMissing; skipped++ {
		if s.missing == nil {
			s.missing = make(map[uint64]struct{})
		}
		s.missing[skipped] = struct{}{}
	}
}

// end takes the latest position that the server is known to have reached. Whatever the
// subscriber has not seen by then is lost.
func (s *sequence) end(last position) {
	if !s.reached(last) {
		s.skipTo(last.revision + 1)
	}
}

// reached reports whether nothing up to last is still to come. Of another epoch that
// cannot be said, so the sequence does not wait for it.
func (s *sequence) reached(last position) bool {
	return s.at.epoch != last.epoch || s.at.revision >= last.revision
}

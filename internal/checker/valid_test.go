package checker_test

import "testing"

func TestNoViolationIsFoundWherePromisesAreKept(t *testing.T) {
	total := make(map[string]int)
	for seed := range uint64(100) {
		w := newWorld(seed)
		rec := w.run(900).play()
		if v := rec.Check(w.options()); len(v) > 0 {
			t.Fatalf("seed %d:\n%v", seed, v)
		}
		s := rec.Summary()
		for name, n := range map[string]int{
			"states": s.States, "resumed": s.Resumed, "gaps": s.Gaps, "live": s.Live, "replayed": s.Replayed,
			"removals": s.Removals, "disconnects": s.Disconnects, "accepted": s.Accepted, "rejected": s.Rejected,
			"refused": s.Refused, "unanswered": s.Unanswered, "duplicates": s.Duplicates, "entries": s.Entries,
		} {
			total[name] += n
		}
	}
	for name, n := range total {
		if n < 100 {
			t.Errorf("only %d %s in 100 recordings", n, name)
		}
	}
}

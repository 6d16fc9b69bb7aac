package replaytest

import (
	"errors"
	"time"

	"github.com/safe-go/safe/replay"
)

// These checks are of Batch.Reserve, for stores that processes share.

// openFollowers returns two handles on a store that processes share, or skips
// the test.
func (f *fixture) openFollowers() (h, other *handle) {
	f.Helper()
	if f.harness.Second == nil {
		f.Skipf("the harness has no Second")
	}
	h, other = f.openTwo()
	h.follower()
	return h, other
}

// reserve appends a batch that is refused because the head has moved on, and
// that asks for a reservation.
func (h *handle) reserve(id string, want *history, reserve time.Duration) {
	h.Helper()
	batch := follow(want.at(1), contents("too late")...)
	batch.Reserve = reserve
	h.moved(id, want, batch)
}

func reservationExcludesOthers(f *fixture) {
	h, other := f.openFollowers()
	batch := start(firstEpoch, keyed("a", "b", "c")...)
	batch.Meta = []byte("meta")
	want := &history{}
	h.commit("id", want, batch)
	another := h.started("another id", many("entry ", 3)...)
	excluded := func() {
		other.refused(replay.ConflictReserved, "id", want, want.next(contents("reserved")...))
		other.holds("id", want)
	}
	h.reserve("id", want, time.Second)
	excluded()
	other.reserve("id", want, time.Second) // there is one reservation at a time
	excluded()
	// The other reasons come first.
	other.refused(replay.ConflictReplaced, "id", want, expecting(nil, want.next(contents("lost")...)))
	other.refused(replay.ConflictKnownKeys, "id", want, newKeys(want.next(keyed("a")...)), want.entries[0])
	other.commit("another id", another, another.next(contents("of another history")...))
	h.commit("id", want, want.next(contents("as reserved")...))
	other.commit("id", want, want.next(contents("not reserved any more")...))

	// A restart is not excluded.
	h.reserve("id", want, time.Second)
	excluded()
	other.commit("id", want, want.restart(firstEpoch+1, many("entry ", 3)...))
}

func reservationEndsWithAppend(f *fixture) {
	h, other := f.openFollowers()
	want := h.started("id", many("entry ", 3)...)
	h.reserve("id", want, time.Second)
	h.reserve("id", want, 0) // gives the reservation back
	other.commit("id", want, want.next(contents("free again")...))
	h.reserve("id", want, time.Second)
	h.commit("id", want, want.end())
	other.commit("id", want, start(firstEpoch+1, many("again ", 3)...))
	other.commit("id", want, want.next(contents("free again")...))
}

// reservationExpires checks that a process that never appends again delays the
// others for a short time only.
func reservationExpires(f *fixture) {
	h, other := f.openFollowers()
	want := h.started("id", many("entry ", 3)...)
	h.reserve("id", want, time.Hour)
	batch := want.next(contents("later")...)
	f.eventually("the reservation to expire", func() bool {
		err := other.store.Append(f.ctx, "id", batch)
		conflict, ok := errors.AsType[*replay.ConflictError](err)
		if err != nil && (!ok || conflict.Reason != replay.ConflictReserved || conflict.ReservedFor > time.Second) {
			f.Fatalf("Append while another process has a reservation: %v", err)
		}
		return err == nil
	})
	want.add(batch)
	h.holds("id", want)
}

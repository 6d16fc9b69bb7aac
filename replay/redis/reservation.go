package redis

import (
	"time"

	"github.com/safe-go/safe/replay"
)

// A reservation is a short lease on the next append to a history, for a process
// whose batch was refused because another one was first (replay.Batch.Reserve).
// While it lasts, the batches of other Stores are refused with
// replay.ConflictReserved, except for those that start the history over. The server
// keeps it in the head of the history, by its own clock, under the name of the
// Store. scripts/reservation.lua grants it and ends it.

// maxReservation is the longest reservation.
const maxReservation = time.Second

// reservationOf returns how long a batch asks to reserve the next append for, in
// milliseconds.
func reservationOf(batch *replay.Batch) int64 {
	return min(batch.Reserve, maxReservation).Milliseconds()
}

// reserved fills in a conflict with another Store's reservation.
func reserved(conflict *replay.ConflictError, r *reply) {
	conflict.Reason = replay.ConflictReserved
	conflict.ReservedFor = max(time.Duration(r.number())*time.Millisecond, time.Millisecond)
}

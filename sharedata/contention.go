package sharedata

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// contention is what a commit remembers of the conflicts with other processes from
// one attempt to the next.
type contention struct {
	conflicts int
	first     time.Time     // when the first conflict came
	began     time.Time     // when the present attempt began
	took      time.Duration // how long the previous attempt took
	pauses    backoff.BackOff
}

// reserveAfter is the number of conflicts after which a commit asks for a
// reservation.
const reserveAfter = 2

// reservation is how long the next append is to be reserved for this process: long
// enough for one more attempt. A process that decides more slowly than others, or
// is farther from the store, would always come second otherwise.
func (c *contention) reservation() time.Duration {
	if c.conflicts < reserveAfter {
		return 0
	}
	return min(max(4*c.took, 10*time.Millisecond), time.Second)
}

// pauseEvery is the number of conflicts after which a commit pauses. Before that the
// next attempt follows at once: the conflict has just brought the missed entries
// along, and after a pause there would be new ones.
const pauseEvery = 4

// The bounds of the time that another process is expected to need for its reserved
// append: about what an attempt takes here.
const (
	minReserved = 100 * time.Microsecond
	maxReserved = 20 * time.Millisecond
)

// wait is called after each conflict. It pauses where another process holds a
// reservation, for reserved at most, or where there have been many conflicts: longer
// each time and at random, so that processes that contend do not meet again at the
// same moment. It fails with ErrBusy if conflicts go on for longer than the limit,
// which is none if it is not positive.
func (c *contention) wait(reserved, limit time.Duration) error {
	now := time.Now()
	c.took = now.Sub(c.began)
	if c.pauses == nil {
		c.first = now
		c.pauses = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(time.Millisecond),
			backoff.WithMaxInterval(50*time.Millisecond),
			backoff.WithMaxElapsedTime(0),
		)
	}
	if limit > 0 && now.Sub(c.first) > limit {
		return fmt.Errorf("%w: other processes keep being first; propose again later", ErrBusy)
	}
	if reserved > 0 {
		attempt := min(max(c.took, minReserved), maxReserved)
		time.Sleep(min(reserved, attempt/2+rand.N(attempt)))
		return nil
	}
	if c.conflicts++; c.conflicts%pauseEvery == 0 {
		time.Sleep(c.pauses.NextBackOff())
	}
	return nil
}

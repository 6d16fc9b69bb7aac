package sharedata

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/safe-go/safe/replay"
)

// attempts is what a commit carries from one attempt to the next: which verdicts
// it has learned of, and for how long it has met conflicts.
type attempts struct {
	// limit bounds the time from the first conflict on; not positive for none.
	limit time.Duration

	conflicts int
	first     time.Time     // when the first conflict was met
	began     time.Time     // when the present attempt began
	took      time.Duration // how long the one before took
	pauses    backoff.BackOff

	// known and looked are what the store said at a position, see circumstances.
	at     replay.Cursor
	known  map[string]Entry
	looked map[string]bool
}

// knownAt returns the verdicts that were learned of at this very position; what
// was learned at another one is forgotten.
func (a *attempts) knownAt(at position) map[string]Entry {
	if a.at != at.cursor {
		a.at, a.known, a.looked = at.cursor, nil, nil
	}
	return a.known
}

// know adds the entries that were found, and the keys that they were looked for
// by.
func (a *attempts) know(found map[string]Entry, keys []string) {
	if a.known == nil {
		a.known, a.looked = make(map[string]Entry), make(map[string]bool)
	}
	for key, e := range found {
		a.known[key] = e
	}
	for _, key := range keys {
		a.looked[key] = true
	}
}

// begin begins an attempt.
func (a *attempts) begin() { a.began = time.Now() }

// patient is the number of conflicts after which a commit asks for its turn.
const patient = 2

// claim is how long the next turn is asked for: long enough for one more
// attempt. Who is slower to decide than others, or farther from the store, would
// always come second otherwise.
func (a *attempts) claim() time.Duration {
	if a.conflicts < patient {
		return 0
	}
	return min(max(4*a.took, 10*time.Millisecond), time.Second)
}

// hasty is the number of conflicts after which the next attempt follows at once.
// The refusal has just brought along what was missed, so that attempt is the
// best there can be; after a pause it would be doomed.
const hasty = 4

// What another process is thought to need for its turn, at least and at most.
const (
	minTurn = 100 * time.Microsecond
	maxTurn = 20 * time.Millisecond
)

// again is called with each conflict, and pauses before the next attempt where
// it is another process's turn, or where there have been many: longer each time
// and by chance, so that processes that contend do not meet again at the same
// moment. It fails after the limit.
func (a *attempts) again(claimed time.Duration) error {
	now := time.Now()
	a.took = now.Sub(a.began)
	if a.pauses == nil {
		a.first = now
		a.pauses = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(time.Millisecond),
			backoff.WithMaxInterval(50*time.Millisecond),
			backoff.WithMaxElapsedTime(0),
		)
	}
	if a.limit > 0 && now.Sub(a.first) > a.limit {
		return fmt.Errorf("%w: other processes keep being first", ErrBusy)
	}
	if claimed > 0 {
		// Whose turn it is may take about as long as an attempt takes here.
		attempt := min(max(a.took, minTurn), maxTurn)
		time.Sleep(min(claimed, attempt/2+rand.N(attempt)))
		return nil
	}
	if a.conflicts++; a.conflicts%hasty == 0 {
		time.Sleep(a.pauses.NextBackOff())
	}
	return nil
}

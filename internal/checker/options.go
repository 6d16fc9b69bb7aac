package checker

import "time"

// Options say what was promised in the run that was recorded. The zero value
// is good for one with default options and a store that kept working.
type Options struct {
	// Window is the replay window of the servers, in entries: who missed at
	// most so many must be resumed, who missed more must be told. It is the
	// value of realtime.Options.ReplayWindow: the default is 100, and -1 means
	// that nothing is replayed.
	Window int
	// Retention is how many of the newest entries the store keeps for certain.
	// An older cursor may be resumed or not, and an older idempotency key may
	// take effect again. The default is all; where Recorder.History shows that
	// entries were dropped, that is taken into account. -1 means that entries
	// may be out of reach at any time, as when the store is made to fail: every
	// cursor may be resumed or not, but none in part.
	Retention int
	// Complete demands that whoever is still subscribed at the end has been
	// sent everything. Set it where the test waited for that.
	Complete bool
	// Durable demands that no epoch is lost: one that somebody was told of must
	// have been recorded by History or Observe, or have ended in a removal that
	// somebody saw or Recorder.Removing announced.
	Durable bool
	// FreshReads demands that a snapshot is no older than anything that anybody
	// had seen before the subscribe was sent. One process promises that; of
	// several that share a store, one may lag behind. What is known to have come
	// from one process (Recorder.ConnectionTo) is judged so in any case.
	FreshReads bool
	// Attributed demands that every transaction and every update in a recorded
	// history was asked for: the test recorded whatever anybody asked for.
	Attributed bool
	// Linearize is how long the search for a linearization may take for one
	// ShareData that has a model: an order of what was asked for that agrees with
	// the order in time, with the answers and with the revisions. One that takes
	// longer is a violation of Recorded. The default is not to search.
	Linearize time.Duration
	// Models are the rules of the functions, by the id of the ShareData. The
	// proposals to one without a model are not judged anew.
	Models map[string]Model
}

const defaultWindow = 100

func (o Options) withDefaults() Options {
	switch {
	case o.Window == 0:
		o.Window = defaultWindow
	case o.Window < 0:
		o.Window = 0
	}
	return o
}

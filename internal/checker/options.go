package checker

// Options say what the recorded run promised. The zero value is good for servers
// with default options and a store without faults.
type Options struct {
	// Window is realtime.Options.ReplayWindow of the servers, in entries: a
	// subscriber that missed at most this many must be resumed, one that missed
	// more must get "cursor not found". Default: 100. -1: nothing is replayed.
	Window int
	// Retention is how many of the newest entries the store keeps for certain.
	// Older cursors may be resumed or not, and older idempotency keys may take
	// effect again. Default: all, except those that Recorder.History shows to be
	// dropped. -1: entries may be unreadable at any time, as when the store is made
	// to fail: every cursor may be resumed or not, but none in part.
	Retention int
	// Complete demands that every subscription that has not ended is current at the
	// end of the run. Set it where the test waits for that.
	Complete bool
	// Durable demands that no epoch is lost: each one that appears in a frame or a
	// result must have been recorded by History or Observe, or must have ended with
	// a removal that a subscriber saw or that Recorder.Removing announced.
	Durable bool
	// FreshReads demands that a snapshot is not older than any frame or result
	// received before its subscribe was sent. One process promises that; of several
	// that share a store, one may lag behind. It is always demanded of frames and
	// results that come from the same process (Recorder.ConnectionTo).
	FreshReads bool
	// Attributed demands that an operation asked for each transaction and update in
	// a recorded history. Set it where the test records all operations.
	Attributed bool
	// Models compute the outcomes of proposals, by the id of the ShareData. Default:
	// none; outcomes are taken as they were recorded.
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

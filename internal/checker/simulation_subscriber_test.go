package checker_test

import (
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// simSubscriber is a subscriber without a client or, if its log is a client's, one
// with a client that reconnects.
type simSubscriber struct {
	simulation *simulation
	shareData  *simShareData
	log        logKey
	// live says that the server sends it new entries.
	live  bool
	queue []step // frames that were sent and not yet delivered
	// seen is the cursor of the last frame that was delivered, sent that of the last
	// one that was sent; zero for none.
	seen, sent replay.Cursor
	begun      bool // a client's subscription
	// patches and conflate are what it asks for, and patched says that the
	// subscription has patches.
	patches, conflate, patched bool
	// has is the cursor of the state that it has, zero for none. A state that is ahead
	// of the replayed frames stays until the live ones.
	has   replay.Cursor
	ahead bool
}

// pushLive sends a live entry, or a state that skips it and those before it.
func (p *simSubscriber) pushLive(i int) {
	if p.conflate && len(p.queue) > 2 && p.shareData.entries[i].Type != sharedata.EntryRemoved {
		n := len(p.queue)
		for n > 0 && p.queue[n-1].isLive() {
			n--
		}
		snapshot := p.snapshot()
		snapshot.Skipped = uint64(len(p.queue) - n + 1)
		p.queue = p.queue[:n]
		p.push(snapshot)
		return
	}
	p.push(p.frame(i, false))
}

// isLive reports whether a step is the frame of a live entry that is not a removal.
func (st *step) isLive() bool {
	switch f := st.frame.(type) {
	case *wire.Transaction:
		return !f.Replayed
	case *wire.Lifecycle:
		return !f.Replayed && f.Event == wire.EventUpdated
	}
	return false
}

// frame returns the frame, or event, of an entry in the form of the subscription.
func (p *simSubscriber) frame(i int, replayed bool) wire.ServerMessage {
	e, whole := p.shareData.entries[i], p.shareData.states[i]
	frame := liveFrame(e, whole)
	if replayed {
		frame = replayedFrame(e)
	}
	if !p.patched || e.Type == sharedata.EntryRemoved || replayed && p.ahead {
		return frame
	}
	patch, hash := e.Patch, ""
	if !p.log.client && e.Revision()%4 == 0 {
		hash = e.StateHash.String()
	}
	if !p.log.client && (patch != nil || e.Type == sharedata.EntryTransaction && !e.Accepted) {
		whole = nil
	}
	switch f := frame.(type) {
	case *wire.Transaction:
		f.CurrentState, f.Patch, f.StateHash = whole, patch, hash
	case *wire.Lifecycle:
		f.CurrentState, f.Patch, f.StateHash = whole, patch, hash
	}
	return frame
}

// noteState notes which state it has after a frame.
func (p *simSubscriber) noteState(st *step) {
	at, replayed := st.place()
	switch f := st.frame.(type) {
	case *wire.State:
		if f.CurrentState == nil {
			at.Revision -= f.Replaying
		}
		p.has = at
	case *wire.Transaction, *wire.Lifecycle:
		if whole := st.isLive(); whole || replayed && !st.ahead {
			p.has = at
		}
	}
}

func (p *simSubscriber) push(frame wire.ServerMessage) {
	st := step{kind: receives, log: p.log, frame: frame, ahead: p.ahead}
	p.sent, _ = st.place()
	if l, ok := frame.(*wire.Lifecycle); ok && l.Event == wire.EventRemoved {
		p.sent = replay.Cursor{}
	}
	p.queue = append(p.queue, st)
}

// deliver delivers n frames.
func (p *simSubscriber) deliver(n int) {
	n = min(n, len(p.queue))
	for _, st := range p.queue[:n] {
		p.simulation.script = append(p.simulation.script, st)
		if st.kind == reportsGap {
			p.seen = replay.Cursor{}
		}
		p.noteState(&st)
		switch f := st.frame.(type) {
		case *wire.State:
			if f.Replaying == 0 {
				p.seen, _ = st.place()
			}
		case *wire.Lifecycle:
			p.seen, _ = st.place()
			if f.Event == wire.EventRemoved {
				p.seen, p.has, p.begun = replay.Cursor{}, replay.Cursor{}, false
			}
		case *wire.Transaction:
			p.seen, _ = st.place()
		}
	}
	p.queue = p.queue[n:]
}

// subscribe subscribes on the current connection, or on a new one. A client
// subscribes only when it has no connection.
func (p *simSubscriber) subscribe() {
	if p.log.client {
		p.connect()
		return
	}
	since := ""
	switch n := p.simulation.rng.IntN(10); {
	case n < 7 && !p.seen.IsZero():
		since = p.seen.String()
	case n == 7:
		since = []string{"nonsense", "0-1", "1-1"}[p.simulation.rng.IntN(3)]
	case n == 8 && p.shareData.exists:
		since = replay.Cursor{Epoch: p.shareData.head().Cursor.Epoch, Revision: p.shareData.head().Cursor.Revision + 1 + p.simulation.rng.Uint64N(2)}.String()
	}
	asks := wire.Subscribe{Patches: p.patches && p.simulation.rng.IntN(4) > 0, Conflate: p.conflate}
	asks.IncludeState = since != p.has.String() || p.simulation.rng.IntN(5) == 0
	p.simulation.script = append(p.simulation.script, step{kind: subscribes, log: p.log, since: since, asks: asks})
	if !p.shareData.exists {
		p.live = false
		p.queue = append(p.queue, step{kind: receives, log: p.log, frame: &wire.Error{Code: codes.UnknownShareData, ShareDataID: p.log.id}})
		return
	}
	from, problem := p.resume(since)
	p.patched = asks.Patches
	snapshot := p.snapshot()
	snapshot.Replaying = snapshot.Revision - from
	if snapshot.Resumed = p.patched && since != "" && !problem; snapshot.Resumed && !asks.IncludeState {
		snapshot.CurrentState = nil
	}
	p.ahead = snapshot.CurrentState != nil
	p.push(snapshot)
	if problem {
		p.queue = append(p.queue, step{kind: receives, log: p.log, frame: &wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: p.log.id}})
	}
	p.replay(from)
	p.live = true
}

func (p *simSubscriber) snapshot() *wire.State {
	head := p.shareData.head()
	f := &wire.State{
		ShareDataID: p.log.id, CurrentState: p.shareData.state(),
		Cursor: head.Cursor.String(), Revision: head.Cursor.Revision, HasReplaying: true,
	}
	if last := p.shareData.lastTransaction(); !last.IsZero() {
		f.LastTransactionID = last.String()
	}
	if p.patched && !p.log.client {
		f.StateHash = head.StateHash.String()
	}
	return f
}

// resume returns the revision after which a replay begins: the head for none.
func (p *simSubscriber) resume(since string) (from uint64, problem bool) {
	head := p.shareData.head().Cursor
	at, err := replay.ParseCursor(since)
	switch missed := head.Revision - at.Revision; {
	case since == "":
		return head.Revision, false
	case err != nil, at.Epoch != head.Epoch, at.Revision > head.Revision, missed > uint64(p.simulation.window),
		p.simulation.retention > 0 && missed > uint64(p.simulation.retention):
		return head.Revision, true
	}
	return at.Revision, false
}

func (p *simSubscriber) replay(from uint64) {
	for i := range p.shareData.entries[from:] {
		p.push(p.frame(int(from)+i, true))
	}
}

// connect reconnects a client, which reports a resumption or a gap.
func (p *simSubscriber) connect() {
	if p.live || !p.shareData.exists {
		return
	}
	if p.simulation.rng.IntN(2) == 0 {
		p.queue, p.sent = nil, p.seen // undelivered events are lost with the connection
	}
	if !p.begun && p.sent.IsZero() {
		p.queue = nil
		p.begun = true
		p.simulation.script = append(p.simulation.script, step{kind: subscribes, log: p.log, asks: wire.Subscribe{Conflate: p.conflate}})
	}
	since := ""
	if !p.sent.IsZero() {
		since = p.sent.String()
	}
	from, problem := p.resume(since)
	if problem {
		p.queue = append(p.queue, step{kind: reportsGap, log: p.log})
	}
	at := len(p.queue)
	snapshot := p.snapshot()
	snapshot.Replaying = snapshot.Revision - from
	resumed := since != "" && !problem
	p.patched = p.patches
	p.ahead = !(p.patches && resumed)
	if !p.ahead { // the state is the one before the replayed events
		snapshot.Cursor, snapshot.Revision, snapshot.LastTransactionID = since, from, ""
		snapshot.CurrentState = p.shareData.states[from-1]
	}
	p.push(snapshot)
	p.queue[at].resumed = resumed
	p.replay(from)
	p.live = true
}

// finish reconnects a client at the end, or ends its subscription.
func (p *simSubscriber) finish() {
	if !p.log.client {
		return
	}
	p.connect()
	p.deliver(len(p.queue))
	if !p.live {
		p.simulation.script = append(p.simulation.script, step{kind: unsubscribes, log: p.log})
	}
}

func (p *simSubscriber) unsubscribe() {
	if p.log.client || !p.live {
		return
	}
	p.live = false
	p.simulation.script = append(p.simulation.script, step{kind: unsubscribes, log: p.log})
}

func (p *simSubscriber) disconnect() {
	p.live = false
	if p.log.client {
		return
	}
	p.queue = nil
	p.simulation.script = append(p.simulation.script, step{kind: disconnects, log: p.log, code: codes.CloseGoingAway})
}

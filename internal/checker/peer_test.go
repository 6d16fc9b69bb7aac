package checker_test

import (
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

// peer is a subscriber on the wire or, if its log is a user's, somebody behind
// a client that reconnects.
type peer struct {
	world *world
	thing *thing
	log   logKey
	// live says that the server sends it what is committed.
	live  bool
	queue []step // on its way
	// seen is the cursor of the last frame that was delivered, and sent of the
	// last one that was sent: where to resume from. Zero for nowhere.
	seen, sent replay.Cursor
	begun      bool // a user's subscription
}

func (p *peer) push(frame wire.ServerMessage) {
	st := step{kind: gets, log: p.log, frame: frame}
	p.sent, _ = st.place()
	if l, ok := frame.(*wire.Lifecycle); ok && l.Event == wire.EventRemoved {
		p.sent = replay.Cursor{}
	}
	p.queue = append(p.queue, st)
}

// deliver hands over frames that are on their way.
func (p *peer) deliver(n int) {
	n = min(n, len(p.queue))
	for _, st := range p.queue[:n] {
		p.world.script = append(p.world.script, st)
		if st.kind == gapTold {
			p.seen = replay.Cursor{}
		}
		switch f := st.frame.(type) {
		case *wire.State:
			if f.Replaying == 0 {
				p.seen, _ = st.place()
			}
		case *wire.Lifecycle:
			p.seen, _ = st.place()
			if f.Event == wire.EventRemoved {
				p.seen, p.begun = replay.Cursor{}, false
			}
		case *wire.Transaction:
			p.seen, _ = st.place()
		}
	}
	p.queue = p.queue[n:]
}

// subscribe is sent on the same connection, if there is one, or on a new one.
// A user's client does it only when it has none.
func (p *peer) subscribe() {
	if p.log.user {
		p.connect()
		return
	}
	since := ""
	switch n := p.world.rng.IntN(10); {
	case n < 7 && !p.seen.IsZero():
		since = p.seen.String()
	case n == 7:
		since = []string{"nonsense", "0-1", "1-1"}[p.world.rng.IntN(3)]
	case n == 8 && p.thing.exists:
		since = replay.Cursor{Epoch: p.thing.head().Cursor.Epoch, Revision: p.thing.head().Cursor.Revision + 1 + p.world.rng.Uint64N(2)}.String()
	}
	p.world.script = append(p.world.script, step{kind: asks, log: p.log, since: since})
	if !p.thing.exists {
		p.live = false
		p.queue = append(p.queue, step{kind: gets, log: p.log, frame: &wire.Error{Code: codes.UnknownShareData, ShareDataID: p.log.id}})
		return
	}
	from, problem := p.resume(since)
	snapshot := p.snapshot()
	snapshot.Replaying = snapshot.Revision - from
	p.push(snapshot)
	if problem {
		p.queue = append(p.queue, step{kind: gets, log: p.log, frame: &wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: p.log.id}})
	}
	p.replay(from)
	p.live = true
}

func (p *peer) snapshot() *wire.State {
	head := p.thing.head()
	f := &wire.State{
		ShareDataID: p.log.id, CurrentState: p.thing.state(),
		Cursor: head.Cursor.String(), Revision: head.Cursor.Revision, HasReplaying: true,
	}
	if last := p.thing.lastTransaction(); !last.IsZero() {
		f.LastTransactionID = last.String()
	}
	return f
}

// resume says after which revision a replay begins; at the head there is none.
func (p *peer) resume(since string) (from uint64, problem bool) {
	head := p.thing.head().Cursor
	at, err := replay.ParseCursor(since)
	switch missed := head.Revision - at.Revision; {
	case since == "":
		return head.Revision, false
	case err != nil, at.Epoch != head.Epoch, at.Revision > head.Revision, missed > uint64(p.world.window),
		p.world.retention > 0 && missed > uint64(p.world.retention):
		return head.Revision, true
	}
	return at.Revision, false
}

func (p *peer) replay(from uint64) {
	for _, e := range p.thing.entries[from:] {
		p.push(replayedFrame(e))
	}
}

// connect is what a client does by itself; its user is told what came of it.
func (p *peer) connect() {
	if p.live || !p.thing.exists {
		return
	}
	if p.world.rng.IntN(2) == 0 {
		p.queue, p.sent = nil, p.seen // it had not kept what was not delivered
	}
	if !p.begun && p.sent.IsZero() {
		p.queue = nil
		p.begun = true
		p.world.script = append(p.world.script, step{kind: asks, log: p.log})
	}
	since := ""
	if !p.sent.IsZero() {
		since = p.sent.String()
	}
	from, problem := p.resume(since)
	if problem {
		p.queue = append(p.queue, step{kind: gapTold, log: p.log})
	}
	at := len(p.queue)
	p.push(p.snapshot())
	p.queue[at].resumed = since != "" && !problem
	p.queue[at].frame.(*wire.State).Replaying = p.thing.head().Cursor.Revision - from
	p.replay(from)
	p.live = true
}

// finish lets a client come back before everything ends, or its user give up.
func (p *peer) finish() {
	if !p.log.user {
		return
	}
	p.connect()
	p.deliver(len(p.queue))
	if !p.live {
		p.world.script = append(p.world.script, step{kind: leaves, log: p.log})
	}
}

func (p *peer) unsubscribe() {
	if p.log.user || !p.live {
		return
	}
	p.live = false
	p.world.script = append(p.world.script, step{kind: leaves, log: p.log})
}

func (p *peer) disconnect() {
	p.live = false
	if p.log.user {
		return
	}
	p.queue = nil
	p.world.script = append(p.world.script, step{kind: loses, log: p.log, code: codes.CloseGoingAway})
}

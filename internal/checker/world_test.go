package checker_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// world is a small model of a service that keeps its promises. It writes what
// happens in it into a script.
type world struct {
	rng    *rand.Rand
	script script
	// window is that of the server, retention how many entries its store
	// keeps; 0 for all.
	window, retention int
	// observed says that commits are recorded as they happen.
	observed bool
	things   []*thing
	peers    []*peer
	ops      []*op
	epoch    uint64
	clock    time.Time
	names    int
	// archive has the entries of all epochs, which are different ones for
	// different ShareData.
	archive map[replay.Cursor]sharedata.Entry
}

// thing is a ShareData.
type thing struct {
	id      string
	exists  bool
	entries []sharedata.Entry
	states  []json.RawMessage
}

func (t *thing) head() sharedata.Entry { return t.entries[len(t.entries)-1] }

func (t *thing) state() json.RawMessage { return t.states[len(t.states)-1] }

func (t *thing) lastTransaction() replay.Cursor {
	for i := len(t.entries) - 1; i >= 0; i-- {
		if t.entries[i].Type == sharedata.EntryTransaction {
			return t.entries[i].Cursor
		}
	}
	return replay.Cursor{}
}

// op is a proposal under way.
type op struct {
	number   int
	proposal checker.Proposal
	decided  bool
	answer   checker.Answer
}

func newWorld(seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := &world{rng: rng, window: 12, observed: seed%3 != 0, epoch: 1000, clock: time.Unix(1e9, 0).UTC(),
		archive: make(map[replay.Cursor]sharedata.Entry)}
	if seed%4 == 1 {
		w.retention = 8 + 10*rng.IntN(2)
	}
	for _, id := range []string{"counter", "doc"} {
		w.things = append(w.things, &thing{id: id})
	}
	for _, t := range w.things {
		w.create(t)
		for i := range 6 {
			w.peers = append(w.peers, &peer{world: w, thing: t, log: logKey{fmt.Sprintf("peer%d", i), t.id, i >= 3}})
		}
	}
	return w
}

// options are what the world promises.
func (w *world) options() checker.Options {
	return checker.Options{
		Window: w.window, Retention: w.retention, Complete: true, FreshReads: true,
		Attributed: true,
		Models:     map[string]checker.Model{"counter": checker.Counter, "doc": checker.Register},
	}
}

// run lets so many things happen and then comes to an end: everything is
// decided, answered and delivered.
func (w *world) run(steps int) script {
	for range steps {
		w.act()
	}
	for _, o := range w.ops {
		w.decide(o)
		w.hear(o)
	}
	for _, p := range w.peers {
		p.finish()
		p.deliver(len(p.queue))
	}
	for _, t := range w.things {
		if !t.exists {
			continue
		}
		entries := t.entries
		if w.retention > 0 && len(entries) > w.retention {
			entries = entries[len(entries)-w.retention:]
		}
		w.script = append(w.script,
			step{kind: reads, entries: entries},
			step{kind: finds, snapshot: sharedata.Snapshot{ID: t.id, State: t.state(), Cursor: t.head().Cursor, LastTransaction: t.lastTransaction()}})
	}
	return w.script
}

func (w *world) act() {
	t := w.things[w.rng.IntN(len(w.things))]
	p := w.peers[w.rng.IntN(len(w.peers))]
	switch n := w.rng.IntN(200); {
	case !t.exists:
		if n < 60 {
			w.create(t)
		}
	case n < 35:
		w.propose(t)
	case n < 75 && len(w.ops) > 0:
		w.decide(w.ops[w.rng.IntN(len(w.ops))])
	case n < 118 && len(w.ops) > 0:
		i := w.rng.IntN(len(w.ops))
		if o := w.ops[i]; o.decided {
			w.ops = append(w.ops[:i:i], w.ops[i+1:]...)
			if w.rng.IntN(5) > 0 { // else the answer is lost
				w.hear(o)
			}
		}
	case n < 168:
		p.deliver(1 + w.rng.IntN(4))
	case n < 182:
		p.subscribe()
	case n < 186:
		p.unsubscribe()
	case n < 191:
		p.disconnect()
	case n < 197:
		w.administer(t, checker.OperationUpdate, sharedata.EntryUpdated)
	case n < 198:
		w.remove(t)
	case n < 199 && w.rng.IntN(4) == 0:
		w.restart(t)
	}
}

func (w *world) anyState(t *thing) json.RawMessage {
	w.names++
	if t.id == "counter" {
		return fmt.Appendf(nil, `{"value":%d}`, w.rng.IntN(50))
	}
	return fmt.Appendf(nil, `{"text": "number %d"}`, w.names)
}

func (w *world) create(t *thing) {
	w.epoch += 1 + w.rng.Uint64N(5)
	t.exists, t.entries, t.states = true, nil, nil
	w.administer(t, checker.OperationCreate, sharedata.EntryCreated)
}

// administer commits something that no function decides. One in five answers
// is lost.
func (w *world) administer(t *thing, kind checker.OperationKind, entryType sharedata.EntryType) {
	state := w.anyState(t)
	op := w.names
	w.script = append(w.script, step{kind: administers, op: op, operation: kind, proposal: checker.Proposal{Proposer: "admin", ShareData: t.id, Data: state}})
	w.commit(t, sharedata.Entry{Type: entryType}, state)
	if op%5 > 0 {
		w.script = append(w.script, step{kind: hears, op: op, answer: checker.Answer{Accepted: true, TransactionID: t.head().Cursor.String()}})
	}
}

func (w *world) remove(t *thing) {
	w.script = append(w.script, step{kind: removing, id: t.id})
	w.commit(t, sharedata.Entry{Type: sharedata.EntryRemoved}, nil)
	t.exists = false
}

// restart is that of a process which keeps nothing: the ShareData begins anew,
// and whoever was connected has to come back.
func (w *world) restart(t *thing) {
	for _, p := range w.peers {
		if p.thing == t {
			p.disconnect()
		}
	}
	w.create(t)
}

// commit adds an entry. state is nil where it does not change.
func (w *world) commit(t *thing, e sharedata.Entry, state json.RawMessage) {
	var previous sharedata.Hash
	e.ShareDataID, e.Cursor = t.id, replay.Cursor{Epoch: w.epoch, Revision: 1}
	if len(t.entries) > 0 {
		previous = t.head().Hash
		e.Cursor = t.head().Cursor.Next()
		if state == nil {
			state = t.state()
		}
	}
	w.clock = w.clock.Add(time.Second)
	e.Time = w.clock
	if e.Type != sharedata.EntryRemoved {
		e.StateHash = hashOf(state)
	} else {
		state = nil
	}
	e = seal(e, previous)
	t.entries, t.states = append(t.entries, e), append(t.states, state)
	w.archive[e.Cursor] = e
	if w.observed {
		w.script = append(w.script, step{kind: commits, events: []sharedata.Event{{Entry: e, State: state}}})
	}
	for _, p := range w.peers {
		if p.thing == t && p.live {
			p.push(liveFrame(e, state))
			p.live = e.Type != sharedata.EntryRemoved
		}
	}
}

func (w *world) propose(t *thing) {
	w.names++
	p := checker.Proposal{Proposer: fmt.Sprintf("proposer%d", w.rng.IntN(5)), ShareData: t.id}
	if t.id == "counter" {
		p.Function, p.Data = "add", fmt.Appendf(nil, `{"by":%d}`, w.rng.IntN(21)-10)
	} else {
		p.Function, p.Data = "set", fmt.Appendf(nil, `[%d, "text"]`, w.names)
		if w.rng.IntN(6) == 0 {
			p.Data = json.RawMessage("null")
		}
	}
	switch n := w.rng.IntN(10); {
	case n < 4:
		p.Key = fmt.Sprintf("key%d", w.names)
	case n < 7 && len(w.ops) > 0: // a repeat
		if o := w.ops[w.rng.IntN(len(w.ops))]; o.proposal.Key != "" {
			p = o.proposal
		}
	}
	o := &op{number: w.names, proposal: p}
	w.ops = append(w.ops, o)
	w.script = append(w.script, step{kind: proposes, op: o.number, proposal: p})
}

// decide is the manager's part in a proposal.
func (w *world) decide(o *op) {
	if o.decided {
		return
	}
	o.decided = true
	var t *thing
	for _, other := range w.things {
		if other.id == o.proposal.ShareData {
			t = other
		}
	}
	if !t.exists {
		o.answer = checker.Answer{Error: "unknown ShareData"}
		return
	}
	if first := w.remembered(t, o.proposal.Key); first != nil {
		o.answer = checker.Answer{Accepted: first.Accepted, TransactionID: first.Cursor.String(), Duplicate: true}
		return
	}
	model := checker.Counter
	if t.id == "doc" {
		model = checker.Register
	}
	next, accepted, err := model(t.state(), o.proposal.Function, o.proposal.Data)
	if err != nil {
		panic(err)
	}
	e := sharedata.Entry{
		Type: sharedata.EntryTransaction, FunctionID: o.proposal.Function, Data: o.proposal.Data,
		Accepted: accepted, IdempotencyKey: o.proposal.Key,
	}
	if !accepted {
		next, e.Reason = nil, "not like this"
	}
	w.commit(t, e, next)
	o.answer = checker.Answer{Accepted: accepted, TransactionID: t.head().Cursor.String(), Error: e.Reason}
}

// remembered is the entry that the store knows by a key.
func (w *world) remembered(t *thing, key string) *sharedata.Entry {
	for i := len(t.entries) - 1; i >= 0 && key != ""; i-- {
		if w.retention > 0 && i < len(t.entries)-w.retention {
			break
		}
		if t.entries[i].IdempotencyKey == key {
			return &t.entries[i]
		}
	}
	return nil
}

func (w *world) hear(o *op) {
	w.script = append(w.script, step{kind: hears, op: o.number, answer: o.answer})
}

func liveFrame(e sharedata.Entry, state json.RawMessage) wire.ServerMessage {
	switch e.Type {
	case sharedata.EntryTransaction:
		return &wire.Transaction{
			ShareDataID: e.ShareDataID, TransactionID: e.Cursor.String(), Accepted: e.Accepted,
			CurrentState: state, Revision: e.Cursor.Revision, FunctionID: e.FunctionID,
		}
	case sharedata.EntryUpdated:
		return &wire.Lifecycle{
			ShareDataID: e.ShareDataID, Event: wire.EventUpdated, CurrentState: state,
			Cursor: e.Cursor.String(), Revision: e.Cursor.Revision,
		}
	}
	return &wire.Lifecycle{
		ShareDataID: e.ShareDataID, Event: wire.EventRemoved, Cursor: e.Cursor.String(), Revision: e.Cursor.Revision,
	}
}

func replayedFrame(e sharedata.Entry) wire.ServerMessage {
	frame := liveFrame(e, nil)
	switch f := frame.(type) {
	case *wire.Transaction:
		f.Replayed = true
	case *wire.Lifecycle:
		f.Replayed = true
	}
	return frame
}

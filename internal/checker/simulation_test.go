package checker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/jsonpatch"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// simulation is a small model of a service that keeps its promises. It writes a
// script.
type simulation struct {
	rng    *rand.Rand
	script script
	// window is the replay window, retention the number of entries that the store
	// keeps; 0 for all.
	window, retention int
	// observed says that commits are recorded as they happen.
	observed    bool
	shareData   []*simShareData
	subscribers []*simSubscriber
	ops         []*simOperation
	epoch       uint64
	clock       time.Time
	names       int
	// archive has the entries of all epochs. No two ShareData have the same epoch.
	archive map[replay.Cursor]sharedata.Entry
}

// simShareData is a ShareData of the simulation.
type simShareData struct {
	id      string
	exists  bool
	entries []sharedata.Entry
	states  []json.RawMessage
}

func (t *simShareData) head() sharedata.Entry { return t.entries[len(t.entries)-1] }

func (t *simShareData) state() json.RawMessage { return t.states[len(t.states)-1] }

func (t *simShareData) lastTransaction() replay.Cursor {
	for i := len(t.entries) - 1; i >= 0; i-- {
		if t.entries[i].Type == sharedata.EntryTransaction {
			return t.entries[i].Cursor
		}
	}
	return replay.Cursor{}
}

// simOperation is a proposal under way.
type simOperation struct {
	number    int
	proposal  checker.Proposal
	evaluated bool
	answer    checker.Answer
}

func TestSimulation_NoViolations(t *testing.T) {
	total := make(map[string]int)
	for seed := range uint64(100) {
		w := newSimulation(seed)
		rec := w.run(900).record()
		if v := rec.Check(w.options()); len(v) > 0 {
			t.Fatalf("seed %d:\n%v", seed, v)
		}
		s := rec.Summary()
		for name, n := range map[string]int{
			"states": s.States, "resumed": s.Resumed, "gaps": s.Gaps, "live": s.Live, "replayed": s.Replayed,
			"removals": s.Removals, "disconnects": s.Disconnects, "accepted": s.Accepted, "rejected": s.Rejected,
			"refused": s.Refused, "unanswered": s.Unanswered, "duplicates": s.Duplicates, "entries": s.Entries,
			"skips": s.Skips, "patched": s.Patched,
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

func newSimulation(seed uint64) *simulation {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := &simulation{rng: rng, window: 12, observed: seed%3 != 0, epoch: 1000, clock: time.Unix(1e9, 0).UTC(),
		archive: make(map[replay.Cursor]sharedata.Entry)}
	if seed%4 == 1 {
		w.retention = 8 + 10*rng.IntN(2)
	}
	for _, id := range []string{"counter", "doc", "list"} {
		w.shareData = append(w.shareData, &simShareData{id: id})
	}
	for _, t := range w.shareData {
		w.create(t)
		for i := range 6 {
			w.subscribers = append(w.subscribers, &simSubscriber{simulation: w, shareData: t, log: logKey{fmt.Sprintf("subscriber%d", i), t.id, i >= 3}, patches: t.id == "list", conflate: t.id == "list" && i%2 == 0})
		}
	}
	return w
}

// options returns what the simulation promises.
func (w *simulation) options() checker.Options {
	return checker.Options{
		Window: w.window, Retention: w.retention, Complete: true, FreshReads: true,
		Attributed: true,
		Models:     map[string]checker.Model{"counter": checker.Counter, "doc": checker.Register, "list": list},
	}
}

// run takes a number of random steps and then ends: every proposal is evaluated and
// has its result, and every frame is delivered.
func (w *simulation) run(steps int) script {
	for range steps {
		w.act()
	}
	for _, o := range w.ops {
		w.evaluate(o)
		w.result(o)
	}
	for _, p := range w.subscribers {
		p.finish()
		p.deliver(len(p.queue))
	}
	for _, t := range w.shareData {
		if !t.exists {
			continue
		}
		entries := t.entries
		if w.retention > 0 && len(entries) > w.retention {
			entries = entries[len(entries)-w.retention:]
		}
		w.script = append(w.script,
			step{kind: readsHistory, entries: entries},
			step{kind: readsFinal, snapshot: sharedata.Snapshot{ID: t.id, State: t.state(), Cursor: t.head().Cursor, LastTransaction: t.lastTransaction()}})
	}
	return w.script
}

func (w *simulation) act() {
	t := w.shareData[w.rng.IntN(len(w.shareData))]
	p := w.subscribers[w.rng.IntN(len(w.subscribers))]
	switch n := w.rng.IntN(200); {
	case !t.exists:
		if n < 60 {
			w.create(t)
		}
	case n < 35:
		w.propose(t)
	case n < 75 && len(w.ops) > 0:
		w.evaluate(w.ops[w.rng.IntN(len(w.ops))])
	case n < 118 && len(w.ops) > 0:
		i := w.rng.IntN(len(w.ops))
		if o := w.ops[i]; o.evaluated {
			w.ops = append(w.ops[:i:i], w.ops[i+1:]...)
			if w.rng.IntN(5) > 0 { // else the result is lost
				w.result(o)
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

func (w *simulation) anyState(t *simShareData) json.RawMessage {
	w.names++
	switch t.id {
	case "counter":
		return fmt.Appendf(nil, `{"value":%d}`, w.rng.IntN(50))
	case "list":
		return fmt.Appendf(nil, `{"pad":"%0200d","items":[0]}`, w.names)
	}
	return fmt.Appendf(nil, `{"text": "number %d"}`, w.names)
}

func (w *simulation) create(t *simShareData) {
	w.epoch += 1 + w.rng.Uint64N(5)
	t.exists, t.entries, t.states = true, nil, nil
	w.administer(t, checker.OperationCreate, sharedata.EntryCreated)
}

// administer commits an update or a creation. One result in five is lost.
func (w *simulation) administer(t *simShareData, kind checker.OperationKind, entryType sharedata.EntryType) {
	state := w.anyState(t)
	op := w.names
	w.script = append(w.script, step{kind: administers, op: op, operation: kind, proposal: checker.Proposal{Proposer: "admin", ShareData: t.id, Data: state}})
	w.commit(t, sharedata.Entry{Type: entryType}, state)
	if op%5 > 0 {
		w.script = append(w.script, step{kind: hasResult, op: op, answer: checker.Answer{Accepted: true, TransactionID: t.head().Cursor.String()}})
	}
}

func (w *simulation) remove(t *simShareData) {
	w.script = append(w.script, step{kind: removes, id: t.id, epoch: w.epoch})
	w.commit(t, sharedata.Entry{Type: sharedata.EntryRemoved}, nil)
	t.exists = false
}

// restart restarts a process without a durable store: the ShareData is re-created,
// and all subscribers lose their connections.
func (w *simulation) restart(t *simShareData) {
	for _, p := range w.subscribers {
		if p.shareData == t {
			p.disconnect()
		}
	}
	w.create(t)
}

// commit adds an entry. state is nil where it does not change.
func (w *simulation) commit(t *simShareData, e sharedata.Entry, state json.RawMessage) {
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
	switch {
	case e.Type == sharedata.EntryRemoved:
		state = nil
	case e.Type != sharedata.EntryTransaction:
		e.NewState = state
	case e.Accepted:
		if e.Patch = diff(t.state(), state); e.Patch == nil {
			e.NewState = state
		}
	}
	if state != nil {
		e.StateHash = hashOf(state)
	}
	e = seal(e, previous)
	t.entries, t.states = append(t.entries, e), append(t.states, state)
	w.archive[e.Cursor] = e
	if w.observed {
		w.script = append(w.script, step{kind: commits, events: []sharedata.Event{{Entry: e, State: state}}})
	}
	for _, p := range w.subscribers {
		if p.shareData == t && p.live {
			p.pushLive(len(t.entries) - 1)
			p.live = e.Type != sharedata.EntryRemoved
		}
	}
}

func (w *simulation) propose(t *simShareData) {
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
	o := &simOperation{number: w.names, proposal: p}
	w.ops = append(w.ops, o)
	w.script = append(w.script, step{kind: proposes, op: o.number, proposal: p})
}

// evaluate does what a manager does with a proposal.
func (w *simulation) evaluate(o *simOperation) {
	if o.evaluated {
		return
	}
	o.evaluated = true
	var t *simShareData
	for _, other := range w.shareData {
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
	model := w.options().Models[t.id]
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

// remembered returns the entry that the store finds by a key; nil for none.
func (w *simulation) remembered(t *simShareData, key string) *sharedata.Entry {
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

func (w *simulation) result(o *simOperation) {
	w.script = append(w.script, step{kind: hasResult, op: o.number, answer: o.answer})
}

// list is the model of a state that begins with {"pad": and ends with an array, to
// which a function appends.
func list(state json.RawMessage, _ string, data json.RawMessage) (json.RawMessage, bool, error) {
	if string(data) == "null" {
		return nil, false, nil
	}
	return fmt.Appendf(nil, "%s,%s]}", bytes.TrimSuffix(state, []byte("]}")), data), true, nil
}

// diff returns the patch that leads from one text to another; nil where a patch would
// not be smaller, or leads to another text of the same value.
func diff(before, after json.RawMessage) json.RawMessage {
	patch, ok := jsonpatch.Diff(before, after)
	if made, err := jsonpatch.Apply(before, patch); !ok || err != nil || !bytes.Equal(made, after) {
		return nil
	}
	return patch
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

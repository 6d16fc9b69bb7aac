package sharedata

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/safe-go/safe/replay"
)

// This file decides what a history's next entries are. It is pure: values in,
// values out; no goroutine, no clock, no store, and no function is run. The
// committer (commit.go) drives it.

// change is one requested change, or a request to read the position.
type change struct {
	kind changeKind
	binding
	// fresh asks for a refresh first, unless the store notifies of what other
	// processes append. strict asks for one in any case, and for an error if it
	// fails.
	fresh, strict bool
	// state is the new one of a create or an update.
	state json.RawMessage
	// expect, if it is not zero, is where an update demands the history to be.
	expect replay.Cursor
	// kindName is the kind of a create.
	kindName string
	// key is the proposal's idempotency key as the store knows it (storeKey);
	// empty for none.
	key string
	// data, caller, idempotencyKey and proof go into the entry, and the function's
	// id. proof is nil where there is none to verify.
	data           json.RawMessage
	caller         *Caller
	idempotencyKey string
	proof          json.RawMessage
}

// binding is the function that decides a change, as it was found for one incarnation
// of the ShareData.
type binding struct {
	// origin is that of the only ShareData for which the function is meant; 0 for
	// any.
	origin uint64
	// function is nil for changes that no function decides.
	function *Function
}

func (b *binding) isFor(at position) bool { return b.origin == 0 || b.origin == at.origin }

type changeKind int

const (
	changeNothing changeKind = iota // only learns where the history stands
	changeCreate
	changePropose
	changeUpdate
	changeRemove
)

// result is what running a function on a state gave.
type result struct {
	before json.RawMessage // the state it was run on; nil if it was not run
	effect effect
	err    error // a *Rejection, or why there is no verdict
	// provenAt is where the proof of the proposal was accepted; zero for nowhere.
	provenAt replay.Cursor
	// final says that the function is not to be run again on another state.
	final bool
}

// isOf reports whether the function was run on the state.
func (r *result) isOf(state json.RawMessage) bool {
	return len(r.before) > 0 && len(r.before) == len(state) && &r.before[0] == &state[0]
}

// isUsableAt reports whether the change can be decided at the position without
// evaluating it: the function was run on the state, or the result is final. A proof has
// to be accepted at this very position: a rejection moves the position, but not the
// state.
func (r *result) isUsableAt(at *position, c *change) bool {
	return r.final || r.isOf(at.state) && (c.proof == nil || r.provenAt == at.cursor)
}

// outcome is what became of one change.
type outcome struct {
	verdict Verdict
	// at is the position after the change; zero for repeats and refusals.
	at position
	// undecided says that the change came to no verdict, and that an earlier one by
	// its key has to be looked up.
	undecided bool
	// pending says that the outcome rests on entries of this decision, so that it
	// stands only once they are stored.
	pending bool
	err     error
}

// verdicts are the earlier verdicts by key that a decision has to honour.
type verdicts struct {
	// found are the entries that the store has by the changes' keys, as far as it
	// was asked; missing are the keys that it was asked for and does not have.
	found   map[string]Entry
	missing map[string]bool
	// lost are entries that the store does not have any more, whose effects are in
	// the state all the same.
	lost map[string]Entry
}

func (v *verdicts) by(key string) (Entry, bool) {
	if key == "" {
		return Entry{}, false
	}
	if e, ok := v.found[key]; ok {
		return e, true
	}
	e, ok := v.lost[key]
	return e, ok
}

// decision is a run of entries that may be appended at the position they were
// decided at, and the position after them.
type decision struct {
	id    string
	now   time.Time
	epoch uint64 // that of a history that begins
	known *verdicts

	// outcomes are one for each of the changes that were decided, in their order.
	outcomes []outcome
	// records and events are one for each new entry.
	records []replay.Entry
	events  []Event
	next    position
	// bytes is the size of the records.
	bytes int
	// removed says that the last entry ends the history: nothing may follow it in
	// the same batch.
	removed bool
	// byKey are the verdicts of this decision.
	byKey map[string]Verdict
	// undecided are the keys of the undecided outcomes.
	undecided []string
}

// decideAlone decides a change for which no function has to be run. It returns
// false for the others: their function is to be run on next.state, and the
// result goes to decide.
func (d *decision) decideAlone(c *change) bool {
	if first, ok := d.byKey[c.key]; ok && c.key != "" {
		first.Duplicate = true
		d.outcomes = append(d.outcomes, outcome{verdict: first, pending: true})
		return true
	}
	if first, ok := d.known.by(c.key); ok {
		verdict := verdictIn(&first)
		verdict.Duplicate = true
		d.outcomes = append(d.outcomes, outcome{verdict: verdict})
		return true
	}
	if c.kind == changeNothing {
		d.addNothing(c, nil)
		return true
	}
	if err := d.check(c); err != nil {
		d.addNothing(c, err)
		return true
	}
	if c.function != nil {
		return false
	}
	e := Entry{Caller: c.caller}
	switch c.kind {
	case changeCreate:
		e.Type, e.Kind = EntryCreated, c.kindName
	case changeUpdate:
		e.Type = EntryUpdated
	case changeRemove:
		e.Type = EntryRemoved
	}
	d.add(&e, c, effect{state: c.state})
	return true
}

// check says why a change cannot be made to what there is.
func (d *decision) check(c *change) error {
	switch {
	case c.kind == changeCreate && d.next.exists:
		return fmt.Errorf("%w: %.60q", ErrExists, d.id)
	case c.kind != changeCreate && !d.next.exists:
		return unknown(d.id)
	case !c.isFor(d.next):
		return fmt.Errorf("%w: %.60q %w; read it and propose again", ErrUnknownShareData, d.id, errCreatedAgain)
	case !c.expect.IsZero() && c.expect != d.next.cursor:
		return fmt.Errorf("%w: %.60q is at %s, expected at %s; read it and try again", ErrMoved, d.id, d.next.cursor, c.expect)
	}
	return nil
}

// decide decides a change whose function was run on next.state. A rejection or a
// failure changes no state.
func (d *decision) decide(c *change, r *result) {
	e := Entry{Type: EntryTransaction, Caller: c.caller, FunctionID: c.function.id, Data: c.data, IdempotencyKey: c.idempotencyKey, Proof: c.proof}
	rejected, isRejection := r.err.(*Rejection)
	switch {
	case c.kind == changeUpdate && r.err == nil:
		e = Entry{Type: EntryUpdated, Caller: c.caller}
	case r.err == nil:
		e.Accepted = true
	case isRejection && c.kind == changePropose:
		// The texts go out in WebSocket text messages, which must be UTF-8.
		e.Code, e.Reason = strings.ToValidUTF8(rejected.Code, "\uFFFD"), strings.ToValidUTF8(rejected.Reason, "\uFFFD")
		e.Details = rejected.Details
	default:
		d.addNothing(c, r.err)
		return
	}
	d.add(&e, c, r.effect)
}

// addNothing decides that a change adds no entry: it failed, or only reads.
func (d *decision) addNothing(c *change, err error) {
	undecided := c.key != "" && d.next.exists && !d.known.missing[c.key]
	if undecided {
		d.undecided = append(d.undecided, c.key)
	}
	d.outcomes = append(d.outcomes, outcome{at: d.next, err: err, undecided: undecided, pending: len(d.events) > 0})
}

// refuse decides that a change is not made, whatever the state.
func (d *decision) refuse(err error) { d.outcomes = append(d.outcomes, outcome{err: err}) }

// add decides that a change adds the entry: it numbers the entry, chains it, and
// moves the position past it.
func (d *decision) add(e *Entry, c *change, by effect) {
	d.addEntry(e, c.key, by)
	verdict := verdictIn(e)
	d.outcomes = append(d.outcomes, outcome{verdict: verdict, at: d.next, pending: true})
	if c.key != "" {
		if d.byKey == nil {
			d.byKey = make(map[string]Verdict)
		}
		d.byKey[c.key] = verdict
	}
	d.removed = e.Type == EntryRemoved
}

func (d *decision) addEntry(e *Entry, key string, by effect) {
	cursor := d.next.cursor.Next()
	if e.Type == EntryCreated {
		cursor = replay.Cursor{Epoch: d.epoch, Revision: 1}
	}
	e.ShareDataID, e.Cursor, e.Time = d.id, cursor, d.now
	if by.patch != nil {
		e.Patch = by.patch
	} else {
		e.NewState = by.state
	}
	var after digest
	switch {
	case e.Type == EntryRemoved:
	case by.state == nil:
		after = d.next.digest
	default:
		after = d.next.digest.next(d.next.state, by.state)
	}
	e.StateHash = after.hash
	data := e.seal(d.next.hash)
	d.next = d.next.after(e, by.state, len(data))
	d.next.digest = after
	d.bytes += len(data)
	d.records = append(d.records, replay.Entry{Cursor: cursor, Key: key, Data: data})
	d.events = append(d.events, Event{Entry: *e, State: d.next.state})
}

// batch is the decision as it is appended at a position. It carries a snapshot if it
// starts a history, or if the records since the last snapshot have grown as large as
// the state: so an append costs what it changes, and to load a history reads no more
// than twice its state. For states of megabytes it comes earlier; see maxTailStates.
func (d *decision) batch(at position) replay.Batch {
	b := replay.Batch{
		Expect: at.cursor, ExpectMeta: at.meta(), Entries: d.records, NewKeys: true, Remove: d.removed,
	}
	if b.Starts() || d.next.tail.isLarge(len(d.next.state)) {
		b.Snapshot, d.next.tail = d.next.state, tail{}
	}
	d.next.stored = d.next.meta()
	b.Meta = d.next.stored
	return b
}

// isFull reports whether nothing may be added to the batch.
func (d *decision) isFull() bool { return d.removed || d.bytes >= maxBatchBytes }

// maxBatchBytes is the size beyond which nothing is added to a batch: what a store is
// asked to take at once must have a bound whatever the states are.
const maxBatchBytes = 8 << 20

// last is the newest entry.
func (d *decision) last() *Entry { return &d.events[len(d.events)-1].Entry }

func verdictIn(e *Entry) Verdict {
	return Verdict{Accepted: e.Accepted, Code: e.Code, Reason: e.Reason, Details: e.Details, Cursor: e.Cursor}
}

var errCreatedAgain = errors.New("was removed and created again")

func unknown(id string) error {
	return fmt.Errorf("%w: %.60q; create it first", ErrUnknownShareData, id)
}

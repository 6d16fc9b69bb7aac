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
// values out; no goroutine, no clock, no store. commit.go drives it.

// position is where a history stands: all that the next decision depends on.
// It is immutable.
type position struct {
	// exists is false where there is no history, or it was removed; the rest
	// is zero then.
	exists bool
	cursor replay.Cursor
	// origin is the epoch in which the ShareData was created. The history may
	// have been started over since.
	origin uint64
	state  json.RawMessage
	kind   string
	// lastTransaction is the cursor of the newest transaction, zero for none.
	lastTransaction replay.Cursor
	// hash is the newest entry's.
	hash Hash
	// stored is the Meta that the store has with it; nil where it was not the
	// store that said so, see metaOf.
	stored []byte
}

func (p position) snapshot(id string) Snapshot {
	return Snapshot{ID: id, Kind: p.kind, State: p.state, Cursor: p.cursor, LastTransaction: p.lastTransaction}
}

// isBefore reports whether p is the position of an older state than that of the
// other.
func (p position) isBefore(other position) bool {
	return p.cursor.Epoch < other.cursor.Epoch || p.cursor.Epoch == other.cursor.Epoch && p.cursor.Revision < other.cursor.Revision
}

// change is one wish to add an entry.
type change struct {
	kind changeKind
	binding
	// fresh asks for what the store holds by now, unless it tells of what other
	// processes add; strict, for that in any case, and for an error where it
	// cannot be had.
	fresh, strict bool
	// state is the new one of a create or an update.
	state json.RawMessage
	// kindName is the kind of a create.
	kindName string
	// key is the proposal's idempotency key as the store knows it (storeKey);
	// empty for none.
	key string
	// data, caller and idempotencyKey go into the entry, and the function's id.
	data           json.RawMessage
	caller         *Caller
	idempotencyKey string
}

// binding is a proposal's function, as found for the ShareData that there was.
type binding struct {
	// origin is that of the only ShareData for which it makes sense; 0 for any.
	origin     uint64
	functionID string
	// apply runs the function on a state. Its error is a *Rejection, or says why
	// there is no verdict.
	apply func(w *worker, state json.RawMessage) (json.RawMessage, error)
}

type changeKind int

const (
	changeNothing changeKind = iota // only to learn where the history stands
	changeCreate
	changePropose
	changeUpdate
	changeRemove
)

// outcome is what became of one change.
type outcome struct {
	verdict Verdict
	// at is the position after the change.
	at position
	// pending says that the outcome rests on entries of this decision, so it
	// stands only once they are stored.
	pending bool
	err     error
}

// decision is a run of entries that may be appended at the position they were
// decided at, and the position after them.
type decision struct {
	// outcomes are one for each of the changes that were taken, in their order.
	outcomes []outcome
	// entries, records and events are one for each new entry.
	entries []Entry
	records []replay.Entry
	events  []Event
	next    position
	// bytes is the size of the records.
	bytes int
	// remove says that the last entry ends the history.
	remove bool
	// unsure are the keys of changes that came to no verdict: one that was
	// reached before would stand.
	unsure []string
}

// circumstances are what a decision depends on besides the position.
type circumstances struct {
	id  string
	now time.Time
	// epoch is the one to use if a history is to begin.
	epoch uint64
	// worker runs the functions.
	worker *worker
	// known are the entries that the store remembers by the changes' keys, as
	// far as it was asked; looked are the keys for which it was asked in vain.
	known  map[string]Entry
	looked map[string]bool
	// carried are entries by keys that the store does not remember any more.
	carried map[string]Entry
}

func (c *circumstances) verdictBy(key string) (Entry, bool) {
	if e, ok := c.known[key]; ok || key == "" {
		return e, ok
	}
	e, ok := c.carried[key]
	return e, ok
}

// maxBatchBytes is the size beyond which nothing is added to a batch: what a
// store is asked to take at once must have a bound whatever the states are.
const maxBatchBytes = 8 << 20

// decide takes the changes in their order, each on the state that the one
// before it left. A rejection or a failure changes no state. It takes fewer
// than all when one of them ends the history, as nothing may follow that in the
// same batch, and when the batch gets large.
func decide(at position, changes []change, given circumstances) decision {
	d := decision{next: at}
	verdicts := make(map[string]Verdict) // by key, of this batch
	for i := range changes {
		c := &changes[i]
		if first, ok := verdicts[c.key]; ok {
			first.Duplicate = true
			d.outcomes = append(d.outcomes, outcome{verdict: first, pending: true})
			continue
		}
		if first, ok := given.verdictBy(c.key); ok {
			verdict := verdictIn(first)
			verdict.Duplicate = true
			d.outcomes = append(d.outcomes, outcome{verdict: verdict})
			continue
		}
		entry, state, err := d.next.take(c, given)
		if err != nil || entry.Type == "" {
			if c.key != "" && d.next.exists && !given.looked[c.key] {
				d.unsure = append(d.unsure, c.key)
			}
			d.outcomes = append(d.outcomes, outcome{at: d.next, err: err, pending: len(d.entries) > 0})
			continue
		}
		d.add(entry, state, c.key, given)
		verdict := verdictIn(d.entries[len(d.entries)-1])
		d.outcomes = append(d.outcomes, outcome{verdict: verdict, at: d.next, pending: true})
		if c.key != "" {
			verdicts[c.key] = verdict
		}
		if entry.Type == EntryRemoved {
			d.remove = true
			break
		}
		if d.bytes >= maxBatchBytes {
			break
		}
	}
	return d
}

func verdictIn(e Entry) Verdict {
	return Verdict{Accepted: e.Accepted, Code: e.Code, Reason: e.Reason, Details: e.Details, Cursor: e.Cursor}
}

// take judges one change at p. It returns the entry without its position in
// the chain and the state after it, nil where that does not change; or no
// entry, where there is nothing to record.
func (p position) take(c *change, given circumstances) (Entry, json.RawMessage, error) {
	switch {
	case c.kind == changeNothing:
		return Entry{}, nil, nil
	case c.kind == changeCreate && p.exists:
		return Entry{}, nil, fmt.Errorf("%w: %.60q", ErrExists, given.id)
	case c.kind != changeCreate && !p.exists:
		return Entry{}, nil, unknown(given.id)
	case c.origin != 0 && c.origin != p.origin:
		return Entry{}, nil, fmt.Errorf("%w: %.60q %w; look at it and propose again", ErrUnknownShareData, given.id, errCreatedAnew)
	}
	e := Entry{Caller: c.caller}
	switch c.kind {
	case changeCreate:
		e.Type, e.Kind = EntryCreated, c.kindName
		return e, c.state, nil
	case changeUpdate:
		e.Type = EntryUpdated
		return e, c.state, nil
	case changeRemove:
		e.Type = EntryRemoved
		return e, nil, nil
	}
	e.Type, e.FunctionID, e.Data, e.IdempotencyKey = EntryTransaction, c.functionID, c.data, c.idempotencyKey
	state, err := c.apply(given.worker, p.state)
	if err == nil {
		e.Accepted = true
		return e, state, nil
	}
	if rejected, ok := err.(*Rejection); ok {
		// A reason goes out in WebSocket text messages, which must be UTF-8.
		e.Reason = strings.ToValidUTF8(rejected.Reason, "\uFFFD")
		e.Code, e.Details = strings.ToValidUTF8(rejected.Code, "\uFFFD"), rejected.Details
		return e, nil, nil
	}
	return Entry{}, nil, err
}

// add numbers the entry, chains it and moves the position past it.
func (d *decision) add(e Entry, state json.RawMessage, key string, given circumstances) {
	cursor := d.next.cursor.Next()
	if e.Type == EntryCreated {
		cursor = replay.Cursor{Epoch: given.epoch, Revision: 1}
	}
	e.ShareDataID, e.Cursor, e.Time = given.id, cursor, given.now
	if e.Type != EntryRemoved {
		after := d.next.state
		if state != nil {
			after = state
		}
		e.StateHash = HashState(after)
	}
	data := e.seal(d.next.hash)
	d.next = d.next.after(e, state)
	d.entries = append(d.entries, e)
	d.bytes += len(data) + len(state)
	d.records = append(d.records, replay.Entry{Cursor: cursor, Key: key, Data: data, State: state})
	d.events = append(d.events, Event{Entry: e, State: d.next.state})
}

// after is the position that an entry leads to. state is nil where the entry
// did not change it.
func (p position) after(e Entry, state json.RawMessage) position {
	switch e.Type {
	case EntryRemoved:
		return position{}
	case EntryCreated:
		origin := p.origin
		if e.Continues.IsZero() {
			origin = e.Cursor.Epoch
		}
		p = position{exists: true, origin: origin, kind: e.Kind}
	case EntryTransaction:
		p.lastTransaction = e.Cursor
	}
	p.cursor, p.hash, p.stored = e.Cursor, e.Hash, nil
	if state != nil {
		p.state = state
	}
	return p
}

var errCreatedAnew = errors.New("was removed and created anew meanwhile")

func unknown(id string) error {
	return fmt.Errorf("%w: %.60q; create it first", ErrUnknownShareData, id)
}

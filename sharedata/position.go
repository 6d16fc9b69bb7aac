package sharedata

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/safe-go/safe/replay"
)

// position is where a history stands: all that the next decision depends on. It is
// immutable.
type position struct {
	// exists is false where there is no history, or it was removed; the rest is
	// zero then.
	exists bool
	cursor replay.Cursor
	// origin is the epoch in which the ShareData was created. The epoch may have
	// been restarted since.
	origin uint64
	state  json.RawMessage
	kind   string
	// lastTransaction is the cursor of the newest transaction, zero for none.
	lastTransaction replay.Cursor
	// hash is the newest entry's.
	hash Hash
	// digest is that of state.
	digest digest
	// tail is what a load has to read and to compute.
	tail tail
	// stored is the Meta that the store has with it; nil where the position did
	// not come from the store, see meta.
	stored []byte
	// restartAfter is replay.Head.RestartAfter.
	restartAfter uint64
	// since is when it became current in this process.
	since time.Time
}

// tail is about the records after the newest snapshot in the store, as far as this
// process knows of snapshots: their size, and that of all the states which they lead to.
type tail struct {
	records int
	states  int64
}

func (t *tail) add(recordBytes int, state []byte) {
	t.records += recordBytes
	t.states += int64(len(state))
}

// maxTailStates bounds tail.states: to compute them takes about half a second. Without
// it, large states with small records could not be loaded in any useful time, because
// each record costs a copy of the state.
const maxTailStates = 512 << 20

// isLarge reports whether the history needs another snapshot.
func (t tail) isLarge(stateBytes int) bool {
	return t.records >= stateBytes || t.states >= maxTailStates
}

func (p position) snapshot(id string) Snapshot {
	return Snapshot{
		ID: id, Kind: p.kind, State: p.state, StateHash: p.digest.hash,
		Cursor: p.cursor, LastTransaction: p.lastTransaction,
	}
}

// after is the position that an entry leads to. state is nil where the entry did
// not change it; recordBytes is the size of the record.
func (p position) after(e *Entry, state json.RawMessage, recordBytes int) position {
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
	p.cursor, p.hash, p.stored, p.restartAfter = e.Cursor, e.Hash, nil, 0
	p.tail.add(recordBytes, state)
	if state != nil {
		p.state, p.digest = state, digest{}
	}
	p.digest.hash = e.StateHash
	return p
}

// meta is what the store keeps beside the newest state: what a manager must know
// to continue a history whose entries may all have been trimmed.
type meta struct {
	Kind            string        `json:"kind,omitempty"`
	Origin          uint64        `json:"origin"`
	LastTransaction replay.Cursor `json:"lastTransaction"`
	Hash            Hash          `json:"hash"`
}

// meta is the position's Meta: as the store has it, or as this release writes it.
// The two are the same unless another release wrote it.
func (p position) meta() []byte {
	if !p.exists || p.stored != nil {
		return p.stored
	}
	dst := append(make([]byte, 0, 160+len(p.kind)), '{')
	if p.kind != "" {
		dst = append(appendString(append(dst, `"kind":`...), p.kind), ',')
	}
	dst = strconv.AppendUint(append(dst, `"origin":`...), p.origin, 10)
	dst = p.lastTransaction.AppendTo(append(dst, `,"lastTransaction":"`...))
	return append(appendHex(append(dst, `","hash":"`...), p.hash), '}')
}

// positionOf rebuilds a position from what the store keeps, without the state.
func positionOf(id string, head replay.Head) (position, error) {
	var m meta
	if err := json.Unmarshal(head.Meta, &m); err != nil {
		return position{}, fmt.Errorf("%.60q at %s: %w: %w", id, head.Cursor, ErrBadRecord, err)
	}
	return position{
		exists: true, cursor: head.Cursor, origin: m.Origin, kind: m.Kind,
		lastTransaction: m.LastTransaction, hash: m.Hash, stored: head.Meta, restartAfter: head.RestartAfter,
	}, nil
}

package sharedata

import (
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// meta is what the store keeps beside the newest state: what a manager must
// know to continue a history whose entries may all have been trimmed.
type meta struct {
	Kind            string        `json:"kind,omitempty"`
	Origin          uint64        `json:"origin"`
	LastTransaction replay.Cursor `json:"lastTransaction"`
	Hash            Hash          `json:"hash"`
}

// metaOf is the position's Meta: as the store has it, or as it is written now,
// which is the same unless another release wrote it.
func (p position) metaOf() ([]byte, error) {
	if !p.exists || p.stored != nil {
		return p.stored, nil
	}
	return json.Marshal(meta{Kind: p.kind, Origin: p.origin, LastTransaction: p.lastTransaction, Hash: p.hash})
}

// positionOf rebuilds a position from what the store keeps.
func positionOf(id string, head replay.Head) (position, error) {
	var m meta
	if err := json.Unmarshal(head.Meta, &m); err != nil {
		return position{}, fmt.Errorf("%.60q at %s: %w: %w", id, head.Cursor, ErrBadRecord, err)
	}
	return position{
		exists: true, cursor: head.Cursor, origin: m.Origin, state: json.RawMessage(head.State),
		kind: m.Kind, lastTransaction: m.LastTransaction, hash: m.Hash, stored: head.Meta,
	}, nil
}

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
	LastTransaction replay.Cursor `json:"lastTransaction"`
	Hash            Hash          `json:"hash"`
}

func (p position) meta() ([]byte, error) {
	if !p.exists {
		return nil, nil
	}
	return json.Marshal(meta{Kind: p.kind, LastTransaction: p.lastTransaction, Hash: p.hash})
}

// positionOf rebuilds a position from what the store keeps.
func positionOf(id string, head replay.Head) (position, error) {
	var m meta
	if err := json.Unmarshal(head.Meta, &m); err != nil {
		return position{}, fmt.Errorf("%.60q at %s: %w: %w", id, head.Cursor, ErrBadRecord, err)
	}
	return position{
		exists: true, cursor: head.Cursor, state: json.RawMessage(head.State),
		kind: m.Kind, lastTransaction: m.LastTransaction, hash: m.Hash,
	}, nil
}

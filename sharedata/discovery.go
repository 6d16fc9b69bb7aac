package sharedata

import (
	"context"
	"time"
)

// FunctionInfo describes a function that can be proposed to.
type FunctionInfo struct {
	// ID is the function's.
	ID string
	// InputSchema is the text that was given to WithInputSchema; empty for none.
	InputSchema string
	// Timeout is the deadline of each run: the function's own, or that of
	// Options.FunctionTimeout. -1 is none.
	Timeout time.Duration
	// ProofRequired says that a proposal needs a proof.
	ProofRequired bool
}

// Functions describes the functions of a ShareData that can be proposed to by
// their ids: its own, and then those of its kind, each in the order of
// registration. Internal functions are left out. These are the functions that the
// Resolver gets to choose from, of which ResolveByID takes the one with the id.
// It fails like Get.
func (m *Manager) Functions(ctx context.Context, id string) ([]FunctionInfo, error) {
	at, err := m.freshPosition(ctx, id)
	if err == nil && !at.exists {
		err = unknown(id)
	}
	if err != nil {
		return nil, err
	}
	functions := m.functionsOf(id, at)
	var infos []FunctionInfo
	for _, f := range functions {
		if f.id == "" || functions.ByID(f.id) != f {
			continue // internal, or one of the kind that an own function replaces
		}
		info := FunctionInfo{ID: f.id, Timeout: f.timeout, ProofRequired: m.requiresProof(id, f, true)}
		if f.schema != nil {
			info.InputSchema = f.schema.text
		}
		if info.Timeout == 0 {
			info.Timeout = m.options.FunctionTimeout
		}
		infos = append(infos, info)
	}
	return infos, nil
}

package realtime

import "github.com/safe-go/safe/internal/wire"

// form says how the frames of a subscription are written. A commit is encoded
// once for each form that a live subscription to it has.
type form uint8

const (
	// withActivity: with what was proposed, by whom, and why it was rejected.
	withActivity form = 1 << iota
	// withPatches: with what changed in place of whole states.
	withPatches

	forms // the number of forms
)

func formOf(m *wire.Subscribe) (f form) {
	if m.Activity {
		f |= withActivity
	}
	if m.Patches {
		f |= withPatches
	}
	return f
}

func (f form) has(part form) bool { return f&part != 0 }

// encoded are the frames of one commit in one form.
type encoded struct {
	frames []*frame
	bytes  int
}

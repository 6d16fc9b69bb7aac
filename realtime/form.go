package realtime

import "github.com/safe-go/safe/internal/wire"

// form says how the frames of a subscription are written. A commit is encoded
// once for each form that a live subscription to it has.
type form struct {
	parts parts
	// protocol is that of the session; nil for the frames of package wire.
	protocol *Protocol
}

// parts are what the frames of package wire can have or leave out.
type parts uint8

const (
	// withActivity: with what was proposed, by whom, and why it was rejected.
	withActivity parts = 1 << iota
	// withPatches: with what changed in place of whole states.
	withPatches
)

func formOf(m *wire.Subscribe, protocol *Protocol) form {
	f := form{protocol: protocol}
	if m.Activity {
		f.parts |= withActivity
	}
	if m.Patches {
		f.parts |= withPatches
	}
	return f
}

func (f form) has(part parts) bool { return f.parts&part != 0 }

// encoded are the frames of one commit in one form.
type encoded struct {
	form form
	// subscribers is how many live subscriptions of a channel have the form.
	subscribers int
	frames      []*frame
	bytes       int
}

// encodings are the forms that the live subscriptions of a channel have, or had.
type encodings []encoded

// of returns the encoding in a form, which it adds if there is none.
func (e *encodings) of(f form) *encoded {
	for i := range *e {
		if (*e)[i].form == f {
			return &(*e)[i]
		}
	}
	*e = append(*e, encoded{form: f})
	return &(*e)[len(*e)-1]
}

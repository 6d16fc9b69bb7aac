package checker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
)

// A client that is cut off before the first replayed event gets the state, which is ahead
// of them, twice.
func TestHeldState_ShownTwice(t *testing.T) {
	at := func(revision uint64) replay.Cursor { return replay.Cursor{Epoch: 1, Revision: revision} }
	value := func(n uint64) json.RawMessage { return []byte("[0" + strings.Repeat(",1", int(n)) + "]") }
	h := heldState{cursor: at(1), state: value(1)}
	for range 2 {
		h.receiveEvent(&wire.State{CurrentState: value(3), Replaying: 2}, &record{kind: state, cursor: at(3)})
	}
	transaction := func(revision uint64, replayed bool, added int) string {
		patch := fmt.Appendf(nil, `[{"op":"add","path":"/-","value":%d}]`, added)
		r := record{kind: transaction, cursor: at(revision), replayed: replayed}
		h.receiveEvent(&wire.Transaction{CurrentState: value(revision), Patch: patch, Replayed: replayed}, &r)
		return r.problem
	}
	for revision := uint64(2); revision <= 4; revision++ {
		if problem := transaction(revision, revision < 4, 1); problem != "" {
			t.Errorf("revision %d: %s", revision, problem)
		}
	}
	if transaction(5, false, 2) == "" {
		t.Error("a patch that leads to another state is not noticed")
	}
}

package proof

import (
	"context"
	"errors"
	"fmt"

	"github.com/safe-go/safe/sharedata"
)

// ErrNoProof: the entry has no proof.
var ErrNoProof = errors.New("the entry has no proof")

// VerifyEntry verifies the proof that an entry kept, given the entry before it in the
// history, which it follows. It is for an audit: the keys are those that the caller had
// at the time. It fails with ErrNoProof, and otherwise like Verifier.VerifyProof. It
// does not check the chain of the two entries; sharedata.Verify does.
func VerifyEntry(ctx context.Context, keys Keys, before, entry sharedata.Entry) error {
	if entry.Proof == nil {
		return fmt.Errorf("%w: %s", ErrNoProof, entry.Cursor)
	}
	return NewVerifier(keys).VerifyProof(ctx, sharedata.ProofRequest{
		Caller: entry.Caller, ShareDataID: entry.ShareDataID, FunctionID: entry.FunctionID,
		Position: before.Cursor, StateHash: before.StateHash, Data: entry.Data, Proof: entry.Proof,
	})
}

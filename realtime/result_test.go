package realtime

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// TestFailureOf has what TestProposeFailures cannot cause: an error by several
// names has one code, and only an unknown outcome is reported as such.
func TestFailureOf(t *testing.T) {
	store := func(operation string, unknown bool) error {
		return &sharedata.StoreError{Operation: operation, Err: replay.ErrUnavailable, OutcomeUnknown: unknown}
	}
	function := func(err error) error { return &sharedata.FunctionError{FunctionID: "f", Err: err} }
	for _, test := range []struct {
		name    string
		err     error
		stopped bool
		want    string
	}{
		{"append, known", store("append", false), false, codes.Unavailable},
		{"append, unknown", store("append", true), false, codes.OutcomeUnknown},
		{"read, unknown", store("read", true), false, codes.OutcomeUnknown},
		{"wrapped", fmt.Errorf("%w: %w", context.Canceled, sharedata.ErrOutcomeUnknown), false, codes.OutcomeUnknown},
		{"unknown, then stopped", store("append", true), true, codes.OutcomeUnknown},
		{"stopped", context.Canceled, true, codes.ShuttingDown},
		{"function stopped", function(context.Canceled), true, codes.ShuttingDown},
		{"function canceled", function(context.Canceled), false, codes.FunctionFailed},
		{"function stuck", function(sharedata.ErrFunctionStuck), false, codes.FunctionFailed},
		{"function's deadline", function(context.DeadlineExceeded), false, codes.TimedOut},
		{"function's other change", function(store("append", true)), false, codes.FunctionFailed},
		{"manager closed", fmt.Errorf("too late: %w", sharedata.ErrClosed), false, codes.ShuttingDown},
		{"proof required", sharedata.ErrProofRequired, false, codes.ProofRequired},
		{"proof invalid", fmt.Errorf("%w: %w", sharedata.ErrProofInvalid, sharedata.ErrInvalidInput), false, codes.ProofInvalid},
		{"proof stale", fmt.Errorf("%w: moved", sharedata.ErrProofStale), false, codes.ProofStale},
		{"verifier failed", function(sharedata.ErrProofInvalid), false, codes.FunctionFailed},
		{"invalid key", sharedata.ErrInvalidKey, false, codes.InvalidKey},
		{"invalid caller", sharedata.ErrInvalidCaller, false, codes.InternalError},
		{"anything else", errors.New("else"), false, codes.InternalError},
	} {
		f := failureOf(&wire.Propose{ShareDataID: "c", FunctionID: "f"}, test.err, test.stopped)
		if f.code != test.want || f.text == "" {
			t.Errorf("%s: code %q, want %q; %s", test.name, f.code, test.want, f.text)
		}
	}
}

// Proposers take turns by the name of their connection.
func TestProposalOf_Connection(t *testing.T) {
	s := &session{server: &Server{}, name: "7/10.0.0.1:4711"}
	if p := s.proposalOf(&sessionCaller{}, &wire.Propose{ShareDataID: "c"}); p.Connection != s.name {
		t.Errorf("connection %q, want %q", p.Connection, s.name)
	}
}

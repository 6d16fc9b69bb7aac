package realtime_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestExpiredCredentialsCloseWith4002(t *testing.T) {
	var expired atomic.Bool
	check := func() error {
		if expired.Load() {
			return fmt.Errorf("as of now: %w", realtime.ErrExpired)
		}
		return nil
	}
	w := overSockets(t, &realtime.Options{
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error { return check() },
		AuthorizePropose:   func(context.Context, *sharedata.Caller, string, string) error { return check() },
	})
	w.create("c")
	for name, message := range map[string]string{
		"subscribe": `{"v":1,"type":"subscribe","shareDataId":"c"}`,
		"propose":   `{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":1},"correlationId":"1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			expired.Store(false)
			p := w.dial()
			p.T = t
			p.join("c", "")
			expired.Store(true)
			p.send("%s", message)
			p.wantClose(codes.CloseUnauthorized)
		})
	}
	if at := w.cursor("c"); at.Revision != 1 {
		t.Errorf("the history is at %v: a proposal under expired credentials was judged", at)
	}
}

// The answer must not be on its way before the proposal has left the count.
func TestProposerWhoWaitsForEachAnswerIsNeverOverTheLimit(t *testing.T) {
	w := overSockets(t, &realtime.Options{MaxProposalsInFlight: 1})
	w.create("c")
	p := w.dial()
	p.trusting = true
	for i := range 2000 {
		p.propose("c", "add", `{"by":1}`, strconv.Itoa(i))
		if result := want[*wire.ProposalResult](p); !result.Accepted {
			t.Fatalf("proposal %d: %s", i, result.AppendTo(nil))
		}
	}
}
